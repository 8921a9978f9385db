//! Functions of the C library: their addresses are others in each process. Of some there are several, one for each kind of
//! processor, and only the dynamic linker knows which one is used.

use libc::c_char;
use std::ffi::CStr;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::LazyLock;

type Length = unsafe extern "C" fn(*const c_char) -> usize;

struct Named {
    name: String,
    length: Option<Length>,
}

#[repr(C, packed)]
struct Packed {
    before: u8,
    length: Option<Length>,
    after: u8,
}

fastboot_rt::frozen! {
    /// By name, and packed.
    static FUNCTIONS: (Vec<Named>, Vec<Packed>) = functions(&crate::case()), check = |_, _| true;
}

fastboot_rt::frozen! {
    /// A number that follows from an address, as the place of a key in a hash table does.
    static HASHED: Box<u64> = Box::new(hashed(&crate::case())), check = |_, _| true;
}

fn hashed(case: &str) -> u64 {
    if case != "function-hashed" {
        return 0;
    }
    // Of the executable: where that is loaded, is chance, or it is always the same.
    BuildHasherDefault::<DefaultHasher>::default().hash_one(answer as *const () as usize)
}

/// What an expression has it remember.
static TABLE: LazyLock<[Option<Length>; 2]> = LazyLock::new(|| [looked_up(c"strlen"), looked_up(c"no_such_function")]);

/// What the C library has under a name.
fn looked_up(name: &CStr) -> Option<Length> {
    // SAFETY: the name ends with zero, and what is asked for here takes a string, or nothing is done with it.
    unsafe { std::mem::transmute::<*mut libc::c_void, Option<Length>>(libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr())) }
}

fn functions(case: &str) -> (Vec<Named>, Vec<Packed>) {
    let named = |name: &CStr| Named { name: format!("{name:?}"), length: looked_up(name) };
    match case {
        "function-looked-up" => (vec![named(c"strlen"), named(c"strlen")], Vec::new()),
        "function-packed" => (Vec::new(), vec![Packed { before: 1, length: looked_up(c"strlen"), after: 2 }]),
        "function-in-static" => {
            LazyLock::force(&TABLE);
            (Vec::new(), Vec::new())
        }
        // This program does not call it, so nobody looks it up at start.
        "function-of-nobody" => (vec![named(c"wcslen")], Vec::new()),
        _ => (Vec::new(), Vec::new()),
    }
}

pub(crate) fn answer(case: &str) {
    if !case.starts_with("function-") {
        return;
    }
    println!("{}", **HASHED != 0);
    // SAFETY: a string that ends with zero.
    let length = |function: Length| unsafe { function(c"six by".as_ptr()) };
    for Named { name, length: function } in &FUNCTIONS.0 {
        println!("{name}: {:?}", function.filter(|_| name.contains("strlen")).map(length));
    }
    for &Packed { before, length: function, after } in &FUNCTIONS.1 {
        println!("{before} {:?} {after}", function.map(length));
    }
    println!("{:?}", TABLE.map(|function| function.map(length)));
}
