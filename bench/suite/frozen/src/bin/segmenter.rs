//! `jieba-rs`: a Chinese dictionary, and the cutting of a sentence into words.

use jieba_rs::Jieba;
use workloads::Run;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static SEGMENTER: Jieba = Jieba::new(), check = |thawed, fresh| thawed.cut(SENTENCE, true) == fresh.cut(SENTENCE, true);
}

const SENTENCE: &str = "我们中出了一个叛徒，他昨天在北京大学图书馆借了一本关于计算机程序设计艺术的书";

fn main() {
    let mut run = Run::start();
    if run.touches() {
        let segmenter = &*SEGMENTER;
        run.look_up(1, |_, answer| {
            segmenter.cut(SENTENCE, true).iter().for_each(|word| answer.bytes(word.word.as_bytes()));
        });
    }
    run.finish()
}
