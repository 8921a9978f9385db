//! Environment: variables, and what else the kernel tells a process when it starts.

use core::ffi::CStr;
use core::ptr;

/// Whether the process runs with privileges its user does not have (`AT_SECURE`): then the environment is not trusted.
#[inline]
pub(crate) fn secure() -> bool {
    // SAFETY: `getauxval` only reads the auxiliary vector.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// The value of an environment variable.
///
/// # Safety
/// Called before `main`, where there is no other thread and nothing changes the environment; what is returned is not used
/// once something may.
#[inline]
pub(crate) unsafe fn variable(name: &CStr) -> Option<&'static CStr> {
    // SAFETY: `name` is a C string. The rest is the caller's promise.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    // SAFETY: not null, hence a C string in the environment block, which lives as long as the process.
    (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) })
}

/// Whether there are environment variables whose names begin with `prefix`. Calls nothing, so that a program whose
/// environment says nothing of us starts without touching the code of the C library for it.
///
/// # Safety
/// That of [`variable`].
#[inline]
pub(crate) unsafe fn has_variables(prefix: &[u8]) -> bool {
    let begins = |variable: *const libc::c_char| {
        // SAFETY: a C string; no byte behind one that differs is read, and the last one, 0, is in no prefix.
        prefix.iter().enumerate().all(|(index, byte)| unsafe { *variable.add(index) } as u8 == *byte)
    };
    // SAFETY: the caller's promise.
    unsafe { environment() }.any(begins)
}

/// All environment variables, each with its name and value.
///
/// # Safety
/// That of [`variable`].
pub(crate) unsafe fn variables() -> impl Iterator<Item = &'static CStr> {
    // SAFETY: the caller's promise; each is a C string that lives as long as the process.
    unsafe { environment() }.map(|variable| unsafe { CStr::from_ptr(variable) })
}

/// The environment's C strings, which live as long as the process.
///
/// # Safety
/// That of [`variable`].
#[inline]
pub(super) unsafe fn environment() -> impl Iterator<Item = *const libc::c_char> {
    unsafe extern "C" {
        /// Not every C library passes it to the entries of `.init_array`.
        #[link_name = "environ"]
        static ENVIRONMENT: *const *const libc::c_char;
    }
    // SAFETY: the C library set it before it called us, and the caller runs before `main`: nobody changes it.
    let environment = unsafe { ENVIRONMENT };
    (0..).map_while(move |index| {
        // SAFETY: null, or an array of pointers to C strings that ends with a null pointer, behind which none is read.
        let variable = if environment.is_null() { ptr::null() } else { unsafe { *environment.add(index) } };
        (!variable.is_null()).then_some(variable)
    })
}

/// What the kernel was asked to execute.
pub(crate) fn executed_path() -> &'static CStr {
    // SAFETY: `getauxval` only reads the auxiliary vector.
    let path = unsafe { libc::getauxval(libc::AT_EXECFN) } as usize;
    // SAFETY: absent, or the address of a C string on the initial stack, which lives as long as the process.
    if path == 0 { c"" } else { unsafe { CStr::from_ptr(ptr::with_exposed_provenance(path)) } }
}

/// Removes an environment variable, so that child processes do not see it.
///
/// # Safety
/// There is no second thread yet.
pub(crate) unsafe fn remove_variable(name: &CStr) {
    // SAFETY: `name` is a C string, and no other thread reads the environment.
    unsafe { libc::unsetenv(name.as_ptr()) };
}

/// The user whose rights the process was started with.
pub(crate) fn effective_user() -> libc::uid_t {
    // SAFETY: `getauxval` only reads the auxiliary vector.
    unsafe { libc::getauxval(libc::AT_EUID) as libc::uid_t }
}
