//! A database in C code, which sets itself up when it is used first.

use rusqlite::Connection;
use std::sync::LazyLock;

/// What a query says.
static TOTAL: LazyLock<Vec<i64>> = LazyLock::new(|| vec![total()]);

fn total() -> i64 {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch("create table t (n integer); insert into t values (1), (2), (39)").unwrap();
    connection.query_row("select sum(n) from t", [], |row| row.get(0)).unwrap()
}

pub(crate) fn evaluate(case: &str) {
    if case == "database" {
        assert_eq!(TOTAL[0], 42);
    }
}

pub(crate) fn answer(case: &str) {
    if case == "database" {
        println!("{} {}", TOTAL[0], total());
    }
}
