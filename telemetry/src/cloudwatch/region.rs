//! Whether there is a region to ship to, as far as that can be told without the network.

use std::path::Path;

use aws_config::{
    environment::region::EnvironmentVariableRegionProvider, meta::region::RegionProviderChain,
    profile::region::ProfileFileRegionProvider,
};

/// What the firmware of a virtual machine of EC2 says of its maker.
const EC2_VENDOR: &str = "Amazon EC2";

/// Whether the SDK can find a region: in the environment, in a profile, or by asking the machine, where it is one of AWS's. A
/// container of ECS and a machine of EC2 have a metadata service that says it; elsewhere nobody answers, and lines would wait for
/// ever.
pub(super) async fn may_be_found() -> bool {
    let environment = EnvironmentVariableRegionProvider::new();
    let named = RegionProviderChain::first_try(environment).or_else(ProfileFileRegionProvider::new()).region().await;
    named.is_some_and(|region| !region.as_ref().is_empty()) || machine_may_say()
}

fn machine_may_say() -> bool {
    #[expect(
        clippy::disallowed_methods,
        reason = "region and credentials are found as the SDK finds them, which reads these"
    )]
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    if variable("AWS_EC2_METADATA_DISABLED").eq_ignore_ascii_case("true") {
        return false;
    }
    let is_on_ecs = ["ECS_CONTAINER_METADATA_URI_V4", "ECS_CONTAINER_METADATA_URI"];
    is_on_ecs.into_iter().any(|name| !variable(name).is_empty()) || is_ec2(Path::new("/sys"))
}

/// The newer machines say so in their firmware, the older ones in the id that their hypervisor gives them.
fn is_ec2(sys: &Path) -> bool {
    let begins_with = |file: &str, start: &str| {
        std::fs::read_to_string(sys.join(file)).is_ok_and(|text| text.get(..start.len()) == Some(start))
    };
    begins_with("class/dmi/id/sys_vendor", EC2_VENDOR) || begins_with("hypervisor/uuid", "ec2")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_of_ec2_is_known_by_its_firmware_or_its_hypervisor() {
        for (file, text, expected) in [
            ("class/dmi/id/sys_vendor", "Amazon EC2\n", true),
            ("class/dmi/id/sys_vendor", "QEMU\n", false),
            ("class/dmi/id/sys_vendor", "", false),
            ("hypervisor/uuid", "ec2e1916-9099-7caf-fd21-012345abcdef\n", true),
            ("hypervisor/uuid", "4c4c4544-0000-1010-8020-80c04f202020\n", false),
        ] {
            let sys = tempfile::tempdir().expect("a directory");
            let file = sys.path().join(file);
            std::fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
            std::fs::write(file, text).expect("a file");
            assert_eq!(is_ec2(sys.path()), expected, "{text}");
        }
        assert!(!is_ec2(Path::new("/nowhere")));
    }
}
