//! A function that is chosen by features which few processors have.

fastboot_rt::install!();

fn wide() -> &'static str {
    "wide"
}

fn narrow() -> &'static str {
    "narrow"
}

fastboot_rt::frozen! {
    static CHOSEN: fn() -> &'static str =
        if std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("rdrand") { wide } else { narrow };
}

fn main() {
    println!("{}", CHOSEN());
}
