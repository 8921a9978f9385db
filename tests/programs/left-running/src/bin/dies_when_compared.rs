//! A root whose comparison ends the program.

fastboot_rt::install!();

struct Value(u64);

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        if self.0 == other.0 {
            std::process::abort();
        }
        false
    }
}

fastboot_rt::frozen! {
    static FINE: u64 = 7;

    static VALUE: Value = Value(7);
}

fn main() {
    println!("{} {}", *FINE, VALUE.0);
}
