//! A root that is a socket.

use std::net::TcpListener;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static DOOR: TcpListener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
}

fn main() {
    println!("{:?}", DOOR.local_addr());
}
