//! The names of the database operations: a closed set, which metrics and spans carry as `db_operation_name`.

macro_rules! operations {
    ($($variant:ident => $name:literal,)+) => {
        /// A database operation, by what it does for the caller.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each variant is named after its operation")]
        pub enum Operation { $($variant,)+ }

        impl Operation {
            /// Every name, in the order of the variants.
            pub const NAMES: &'static [&'static str] = &[$($name,)+];

            /// Its name, as `db_operation_name` has it.
            pub fn name(self) -> &'static str {
                Self::NAMES[self as usize]
            }

            /// Whether it is a read of one row by its key, however much there is.
            pub(super) fn finds_by_key(self) -> bool {
                use Operation::*;
                matches!(self, UserGet | UserFindByEmail | SessionCheck | ProjectGet | MemberGet | TaskGet)
            }
        }
    };
}

operations! {
    SchemaCheck => "schema.check",
    Maintenance => "maintenance",
    Purge => "purge",
    UserRegister => "user.register",
    UserFindByEmail => "user.find_by_email",
    UserGet => "user.get",
    SessionCreate => "session.create",
    SessionCheck => "session.check",
    SessionRotate => "session.rotate",
    SessionRevoke => "session.revoke",
    ProjectCreate => "project.create",
    ProjectList => "project.list",
    ProjectGet => "project.get",
    ProjectUpdate => "project.update",
    ProjectDelete => "project.delete",
    MemberList => "member.list",
    MemberGet => "member.get",
    MemberPut => "member.put",
    MemberDelete => "member.delete",
    TaskCreate => "task.create",
    TaskList => "task.list",
    TaskGet => "task.get",
    TaskUpdate => "task.update",
    TaskDelete => "task.delete",
    TaskErase => "task.erase",
    TaskRestore => "task.restore",
    TaskBatch => "task.batch",
    TaskActivity => "task.activity",
}
