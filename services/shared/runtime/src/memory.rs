//! What this process keeps to itself.

use rustix::{
    io,
    process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit},
};

/// From now on no core dump of this process is written, and no other process of its user reads its
/// memory or attaches to it; one with `CAP_SYS_PTRACE` still may.
///
/// # Errors
/// The system refuses.
pub fn keep_memory_private() -> Result<(), io::Errno> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
}

#[cfg(test)]
mod tests {
    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn this_process_is_not_dumped_from_then_on() {
        keep_memory_private().expect("works");
        assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
        let core = getrlimit(Resource::Core);
        assert_eq!((core.current, core.maximum), (Some(0), Some(0)));
    }
}
