//! `minijinja`: 100 templates, filters and globals.

use crates::{answer, digest, evaluated, word};
use minijinja::{Environment, context};

fastboot_rt::install!();

fastboot_rt::frozen! {
    static TEMPLATES: Environment<'static> = evaluated("TEMPLATES", || {
        let mut environment = Environment::new();
        environment.add_filter("shout", |text: String| text.to_uppercase() + "!");
        environment.add_global("words", (0..5).map(word).collect::<Vec<_>>());
        environment.add_template_owned("base", BASE).expect("the template is valid");
        for number in 0..100 {
            environment.add_template_owned(number.to_string(), source(number)).expect("the template is valid");
        }
        environment
    }), check = |thawed, fresh| pages(thawed) == pages(fresh);
}

const BASE: &str = "<h1>{% block title %}{% endblock %}</h1>{% block body %}{% endblock %}";

fn source(number: usize) -> String {
    format!(
        "{{% extends 'base' %}}{{% block title %}}{} {{{{ title|shout }}}}{{% endblock %}}{{% block body %}}\
         {{% for word in words if word != 'x' %}}{{{{ loop.index }}}}:{{{{ word|title|replace('a', '<') }}}}{{% else %}}none\
         {{% endfor %}}{{% macro m(a, b={number}) %}}{{{{ a + b }}}}{{% endmacro %}} {{{{ m(1) }}}}{{% endblock %}}",
        word(number)
    )
}

fn pages(environment: &Environment<'_>) -> Vec<String> {
    let page = |number: usize| {
        let template = environment.get_template(&number.to_string()).expect("it is there");
        template.render(context! { title => format!("<{number}>") }).expect("the template renders")
    };
    (0..100).map(page).collect()
}

fn main() {
    let pages = pages(&TEMPLATES);
    answer("a page", format_args!("{:?}", pages[1]));
    answer("all", digest(pages));
    crates::sources!(TEMPLATES);
}
