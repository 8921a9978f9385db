//! Values whose meaning is easily lost: because they belong to the process, or because they lead to themselves.

use aes::cipher::{BlockEncrypt, KeyInit};
use memmap2::MmapMut;
use poly1305::Poly1305;
use poly1305::universal_hash::UniversalHash;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Condvar, LazyLock, Mutex, RwLock};
use std::thread::ThreadId;

/// A value that only one thread at a time has to do with here.
struct Alone<T>(T);

// SAFETY: the freeze run makes it in one thread, and `main`, which has no other, uses it.
unsafe impl<T> Send for Alone<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Alone<T> {}

#[derive(Default)]
struct Node {
    name: String,
    children: RefCell<Vec<Rc<Node>>>,
    parent: RefCell<Weak<Node>>,
}

thread_local! {
    static SCRATCH: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
}
static NEXT: AtomicUsize = AtomicUsize::new(0);
static PAGE: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
static BY_THREAD: LazyLock<Mutex<HashMap<ThreadId, String>>> = LazyLock::new(Mutex::default);

type Function = Box<dyn Fn(&str) -> String + Send + Sync>;

/// One of each kind.
enum Value {
    None,
    Tree(Alone<Rc<Node>>),
    Channel(Alone<(Sender<String>, Receiver<String>)>),
    Signal(Arc<(Mutex<Vec<String>>, Condvar)>),
    Meeting(Barrier),
    Locked(RwLock<Vec<String>>),
    Hasher(RandomState, u64),
    Lookups(fn(*const core::ffi::c_char) -> i32),
    Address(usize),
    Text(Vec<(String, usize)>),
    File(std::fs::File),
    Socket(std::net::UdpSocket),
    Thread(std::thread::Thread),
    Number(usize),
    Mapped(MmapMut),
    Cipher(Box<aes::Aes128>),
    Authenticator(Box<Poly1305>),
    Reclaimed(papaya::HashMap<u64, String>),
    Empty(Vec<Arc<str>>),
    Words(Vec<&'static str>),
    Trait(Vec<Function>),
    Error(Box<dyn std::error::Error + Send + Sync>),
    Panic(Mutex<Option<Box<dyn std::any::Any + Send>>>),
}

fastboot_rt::frozen! {
    /// The one of the case.
    static VALUE: Value = value(&crate::case()), check = |_, _| true;
}

fn tree() -> Rc<Node> {
    let root = Rc::new(Node { name: "root".to_owned(), ..Node::default() });
    for name in ["left", "right"] {
        let parent = RefCell::new(Rc::downgrade(&root));
        root.children.borrow_mut().push(Rc::new(Node { name: name.to_owned(), parent, ..Node::default() }));
    }
    root
}

/// Memory that the kernel gave, with words in it.
fn mapped() -> MmapMut {
    let mut memory = MmapMut::map_anon(1 << 16).unwrap();
    memory[..13].copy_from_slice(b"one two three");
    memory
}

fn value(case: &str) -> Value {
    match case {
        "value-tree" => Value::Tree(Alone(tree())),
        "value-channel" => {
            let (sender, receiver) = channel();
            (0..100).for_each(|n| sender.send(n.to_string()).unwrap());
            Value::Channel(Alone((sender, receiver)))
        }
        "value-condvar" => {
            let pair = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
            let other = Arc::clone(&pair);
            std::thread::spawn(move || {
                other.0.lock().unwrap().push("from a thread".to_owned());
                other.1.notify_all();
            })
            .join()
            .unwrap();
            Value::Signal(pair)
        }
        "value-barrier" => Value::Meeting(Barrier::new(2)),
        "value-poisoned" => {
            let lock = RwLock::new(vec!["half done".to_owned()]);
            let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let _guard = lock.write().unwrap();
                std::panic::resume_unwind(Box::new("on purpose"));
            }));
            assert!(broken.is_err());
            Value::Locked(lock)
        }
        "value-hasher" => {
            let hasher = RandomState::new();
            let hash = hasher.hash_one("a word");
            Value::Hasher(hasher, hash)
        }
        // SAFETY: both take a string that ends with zero, and give a number.
        "value-function-of-c" => Value::Lookups(unsafe {
            std::mem::transmute::<unsafe extern "C" fn(*const libc::c_char) -> i32, fn(*const libc::c_char) -> i32>(
                libc::atoi,
            )
        }),
        // SAFETY: the name ends with zero.
        "value-looked-up" => Value::Address(unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"atoi".as_ptr()) } as usize),
        // SAFETY: the name ends with zero.
        "value-text" => Value::Text(vec![("CASE".to_owned(), unsafe { libc::getenv(c"CASE".as_ptr()) } as usize)]),
        "value-file" => Value::File(std::fs::File::open("/etc/passwd").unwrap()),
        "value-socket" => Value::Socket(std::net::UdpSocket::bind("127.0.0.1:0").unwrap()),
        "value-thread" => Value::Thread(std::thread::current()),
        "value-thread-number" => Value::Number(NUMBER.with(|number| *number)),
        "value-thread-local" => {
            SCRATCH.with_borrow_mut(|scratch| scratch.push("left by the expression".to_owned()));
            Value::Number(SCRATCH.with_borrow(Vec::len))
        }
        "value-by-thread" => {
            BY_THREAD.lock().unwrap().insert(std::thread::current().id(), "mine".to_owned());
            Value::Number(1)
        }
        // Which code they use stands in statics of their crates.
        "value-cipher" => Value::Cipher(Box::new(aes::Aes128::new(&[7; 16].into()))),
        "value-authenticator" => Value::Authenticator(Box::new(Poly1305::new(&[7; 32].into()))),
        // How memory barriers are made has to be told to the kernel.
        "value-reclaimed" => {
            let map = papaya::HashMap::new();
            (0..1000).for_each(|n| _ = map.pin().insert(n, n.to_string()));
            Value::Reclaimed(map)
        }
        // All empty ones are one, in a static of the standard library.
        "value-empty" => Value::Empty(vec![Arc::from("a"), Arc::default(), Arc::default()]),
        "value-mapped" => Value::Mapped(mapped()),
        "value-words-in-mapped" => {
            let text = std::str::from_utf8(&Box::leak(Box::new(mapped()))[..13]).unwrap();
            Value::Words(text.split(' ').collect())
        }
        "value-mapped-meanwhile" => Value::Number(mapped().iter().filter(|byte| **byte == b' ').count()),
        "value-mapped-in-static" => {
            PAGE.store(Box::leak(Box::new(mapped())).as_mut_ptr(), Ordering::Relaxed);
            Value::Number(1)
        }
        "value-trait" => {
            let prefix = "prefix ".to_owned();
            let upper: Function = Box::new(str::to_uppercase);
            Value::Trait(vec![upper, Box::new(move |word| format!("{prefix}{word}"))])
        }
        "value-error" => Value::Error(Box::new("a".parse::<u32>().unwrap_err())),
        "value-panic" => Value::Panic(Mutex::new(std::panic::catch_unwind(|| panic!("number {}", 7)).err())),
        _ => Value::None,
    }
}

pub(crate) fn answer(case: &str) {
    if !case.starts_with("value-") {
        return;
    }
    let number: libc::c_int = 42;
    let text = c"42";
    match &*VALUE {
        Value::None => println!("none"),
        Value::Tree(Alone(root)) => {
            let children = root.children.borrow();
            let parents = children.iter().filter_map(|child| child.parent.borrow().upgrade());
            let names: Vec<&str> = children.iter().map(|child| child.name.as_str()).collect();
            let own = parents.filter(|parent| Rc::ptr_eq(parent, root)).count();
            println!("{names:?} of {}, {own}, {} {}", root.name, Rc::strong_count(root), Rc::weak_count(root));
        }
        Value::Channel(Alone((sender, receiver))) => {
            (0..50).for_each(|n| sender.send(format!("later {n}")).unwrap());
            let received: Vec<String> = receiver.try_iter().collect();
            println!("{} {:?}", received.len(), received.last());
        }
        Value::Signal(pair) => {
            let other = Arc::clone(pair);
            let thread = std::thread::spawn(move || {
                other.0.lock().unwrap().push("from another".to_owned());
                other.1.notify_all();
            });
            let said = pair.1.wait_while(pair.0.lock().unwrap(), |said| said.len() < 2).unwrap();
            println!("{said:?}");
            drop(said);
            thread.join().unwrap();
        }
        Value::Meeting(barrier) => {
            let leaders = std::thread::scope(|scope| {
                let other = scope.spawn(|| barrier.wait().is_leader());
                usize::from(barrier.wait().is_leader()) + usize::from(other.join().unwrap())
            });
            println!("{leaders} leader");
        }
        Value::Locked(lock) => println!("{:?}", lock.read().map_err(|poisoned| poisoned.into_inner().clone())),
        Value::Hasher(hasher, hash) => println!("{}", hasher.hash_one("a word") == *hash),
        Value::Lookups(atoi) => println!("{}", atoi(text.as_ptr()) == number),
        Value::Address(address) => {
            // SAFETY: it is that of `atoi`, or zero.
            let atoi = unsafe {
                std::mem::transmute::<usize, Option<unsafe extern "C" fn(*const libc::c_char) -> libc::c_int>>(*address)
            };
            // SAFETY: a string that ends with zero.
            println!("{:?}", atoi.map(|atoi| unsafe { atoi(text.as_ptr()) } == number));
        }
        // What is there is another thing, which the build warns of.
        Value::Text(texts) => println!("{:?}", texts.iter().map(|(name, text)| (name, *text != 0)).collect::<Vec<_>>()),
        Value::File(file) => println!("{}", file.metadata().is_ok()),
        Value::Socket(socket) => println!("{}", socket.local_addr().is_ok()),
        Value::Thread(thread) => println!("{}", thread.id() == std::thread::current().id()),
        Value::Number(number) => {
            // What thread-locals have, and whether it is this thread's, is another thing, which the build warns of.
            let page = PAGE.load(Ordering::Relaxed);
            // SAFETY: if anybody has stored an address, it is that of memory that stays mapped.
            let is_right = page.is_null() || unsafe { *page } == b'o';
            println!("{number} {} {is_right}", BY_THREAD.lock().unwrap().len());
        }
        Value::Cipher(cipher) => {
            let mut block = [1; 16].into();
            cipher.encrypt_block(&mut block);
            println!("{block:x?}");
        }
        Value::Authenticator(authenticator) => {
            let mut authenticator = authenticator.clone();
            authenticator.update_padded(&[1; 200]);
            println!("{:x?}", authenticator.finalize());
        }
        Value::Reclaimed(map) => {
            (0..500).for_each(|n| _ = map.pin().remove(&n));
            (0..2000).for_each(|n| _ = map.pin().insert(n, "new".to_owned()));
            println!("{} {:?}", map.len(), map.pin().get(&700));
        }
        Value::Empty(texts) => {
            let later: Arc<str> = Arc::default();
            println!("{texts:?} {}", Arc::strong_count(&later));
        }
        Value::Mapped(memory) => println!("{:?}", &memory[..13]),
        Value::Words(words) => println!("{words:?}"),
        Value::Trait(functions) => println!("{:?}", functions.iter().map(|call| call("word")).collect::<Vec<_>>()),
        Value::Error(error) => println!("{error}, {}", error.is::<std::num::ParseIntError>()),
        Value::Panic(panic) => {
            let panic = panic.lock().unwrap().take();
            println!("{:?}", panic.and_then(|panic| panic.downcast::<String>().ok()));
        }
    }
}
