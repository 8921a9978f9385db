//! rkyv, mapped. With `RKYV_CHECK` set, all of it is checked first.

use peers::archived::{Index, Map, Strings};
use peers::{Call, Workload, map, mapped, save, strings};
use rkyv::rancor::Error;

const NAME: &str = "rkyv";

fn main() {
    match Call::read() {
        Call::Save(Workload::Strings) => {
            save(Workload::Strings, NAME, &rkyv::to_bytes::<Error>(&strings()).expect("it can be archived"));
        }
        Call::Save(Workload::Map) => {
            save(Workload::Map, NAME, &rkyv::to_bytes::<Error>(&map()).expect("it can be archived"));
        }
        Call::Use(workload @ Workload::Strings, mut run) => {
            workloads::strings::look_up(&mut run, || {
                let bytes = mapped(workload, NAME);
                let archived: &Strings = if std::env::var_os("RKYV_CHECK").is_some() {
                    rkyv::access::<_, Error>(bytes).expect("it is what was saved")
                } else {
                    // SAFETY: the file is what this program saved.
                    unsafe { rkyv::access_unchecked(bytes) }
                };
                archived.as_slice()
            });
            run.finish()
        }
        Call::Use(workload @ Workload::Map, mut run) => {
            workloads::map::look_up(&mut run, || {
                let bytes = mapped(workload, NAME);
                let archived: &Map = if std::env::var_os("RKYV_CHECK").is_some() {
                    rkyv::access::<_, Error>(bytes).expect("it is what was saved")
                } else {
                    // SAFETY: the file is what this program saved.
                    unsafe { rkyv::access_unchecked(bytes) }
                };
                Box::leak(Box::new(Index(archived)))
            });
            run.finish()
        }
    }
}
