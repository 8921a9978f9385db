//! `jieba-rs`: a segmenter for Chinese, with its dictionary.

use crates::{answer, evaluated};
use jieba_rs::Jieba;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static SEGMENTER: Jieba = evaluated("SEGMENTER", Jieba::new), check = |thawed, fresh| cut(thawed) == cut(fresh);
}

fn cut(segmenter: &Jieba) -> Vec<&'static str> {
    segmenter
        .cut("我们中出了一个叛徒,南京市长江大桥,小明硕士毕业于中国科学院计算所", true)
        .iter()
        .map(|token| token.word)
        .collect()
}

fn main() {
    answer("words", cut(&SEGMENTER).join("/"));
    answer("tags", format_args!("{:?}", SEGMENTER.tag("我是拖拉机学院手扶拖拉机专业的", true)));
    crates::sources!(SEGMENTER);
}
