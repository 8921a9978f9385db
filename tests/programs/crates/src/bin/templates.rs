//! `handlebars`: 100 templates.

use crates::{answer, digest, evaluated, word};
use handlebars::{Context, Handlebars, Helper, HelperResult, Output, RenderContext};
use serde_json::json;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static TEMPLATES: Handlebars<'static> = evaluated("TEMPLATES", || {
        let mut templates = Handlebars::new();
        let mark = word(1);
        let shout = move |helper: &Helper<'_>,
                          _: &Handlebars<'_>,
                          _: &Context,
                          _: &mut RenderContext<'_, '_>,
                          out: &mut dyn Output|
              -> HelperResult {
            let text = helper.param(0).and_then(|param| param.value().as_str()).unwrap_or_default();
            Ok(out.write(&format!("{} {mark}", text.to_uppercase()))?)
        };
        templates.register_helper("shout", Box::new(shout));
        for number in 0..100 {
            templates.register_template_string(&number.to_string(), source(number)).expect("the template is valid");
        }
        templates
    }), check = |thawed, fresh| pages(thawed) == pages(fresh);
}

fn source(number: usize) -> String {
    let word = word(number);
    format!(
        "<h1>{word} {{{{title}}}}</h1>\n{{{{#each items as |item index|}}}}{{{{#if item.named}}}}\n  {{{{index}}}}: \
         {{{{shout item.name}}}}{{{{else}}}}-{{{{/if}}}}{{{{/each}}}}{{{{#unless items}}}}none{{{{/unless}}}} \
         {{{{lookup items.0 \"name\"}}}} {{{{{{title}}}}}}"
    )
}

fn pages(templates: &Handlebars<'_>) -> Vec<String> {
    let items = json!([{"name": "first", "named": true}, {"named": false}, {"name": "third", "named": true}]);
    let page = |number: usize| {
        let items = if number.is_multiple_of(3) { json!([]) } else { items.clone() };
        let data = json!({"title": format!("<{number}>"), "items": items});
        templates.render(&number.to_string(), &data).expect("the template renders")
    };
    (0..100).map(page).collect()
}

fn main() {
    let pages = pages(&TEMPLATES);
    answer("a page", format_args!("{:?}", pages[1]));
    answer("all", digest(pages));
    crates::sources!(TEMPLATES);
}
