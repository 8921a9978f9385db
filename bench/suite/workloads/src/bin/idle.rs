//! A program that does nothing but what all measured programs do: tell the time and, if asked to, wait.
fn main() {
    workloads::Run::start().finish()
}
