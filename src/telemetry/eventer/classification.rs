//! kube-eventer's classes of events: which ones its error counter counts, and under which reason.
//!
//! Misspelt reasons are kube-eventer's; they are what the components really send.

/// What a classification needs to know of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventFacts<'a> {
    /// `type`.
    pub event_type: &'a str,
    /// `reason`.
    pub reason: &'a str,
    /// `involvedObject.kind`.
    pub kind: &'a str,
    /// `metadata.namespace`.
    pub namespace: &'a str,
    /// `involvedObject.namespace`.
    pub object_namespace: &'a str,
    /// `involvedObject.name`.
    pub name: &'a str,
    /// `message`.
    pub message: &'a str,
}

/// Which counter an event belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// `eventer_events_error_total`, with this value of `reason`.
    Error(&'static str),
    /// `eventer_events_warning_total`.
    Warning,
    /// `eventer_events_normal_total`.
    Normal,
}

/// The class of an event: an error if kube-eventer knows it as one, else after its type.
#[must_use]
pub fn classify(event: &EventFacts<'_>) -> Class {
    match by_reason(event.reason).or_else(|| by_message(event)) {
        Some(class) => Class::Error(class),
        None if event.event_type == "Warning" => Class::Warning,
        None => Class::Normal,
    }
}

fn by_reason(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "Evicted" => "PodEvict",
        "OOMKilling" | "PodOOMKilling" => "PodOOM",
        "FailedMount" | "FailedAttachVolume" => "VolumeFailMount",
        "SystemOOM" => "NodeOOM",
        "Rebooted" => "NodeRebooted",
        "NodeHasDiskPressure" => "NodeDiskPressure",
        "DockerHung" => "NodeDockerHung",
        "PSProcessIsHung" => "NodePSHung",
        "NodeHasNvidiaXidError" => "NodeGPUXIPError",
        "NodeHasFDPressure" | "PIDPressure" | "NodeHasPIDPressure" => "NodeFDPressure",
        "NTPIsDown" => "NodeNPTDown",
        "ConntrackFull" => "ConnTrackFull",
        "SyncLoadBalancerFailed" => "CcmSLBSyncFail",
        "DeleteLoadBalancerFailed" => "CcmSLBDeleteFail",
        "CreateRouteFailed" => "CcmCreateRouteFail",
        "SYncRouteFailed" => "CcmSyncRouteFail",
        "AddNodeFailed" => "CcmAddNodeFail",
        "DeteleNodeFailed" => "CcmDeleteNodeFail",
        "UnAvailableLoadBalancer" => "CcmSLBUnavailable",
        "AnnotationChanged" => "CcmSLBAnnotationChanged",
        "ServiceSpecChanged" => "CcmSLBSpecChanged",
        "SlowIO" => "CSISlowIO",
        "DeviceBusy" => "CSIDeviceBusy",
        "IOHang" => "CSIIOHang",
        "AllocIPFailed" => "CNIAllocIPFail",
        "ParseFailed" => "CNIParseFail",
        "DisposeResourceFailed" => "CNIDisposeResourceFail",
        _ => return None,
    })
}

fn by_message(event: &EventFacts<'_>) -> Option<&'static str> {
    let has = |text: &str| event.message.contains(text);
    match event.reason {
        "Failed" => failed(event.kind, event.message),
        "BackOff" if has("Back-off restarting failed container") => Some("PodCrash"),
        "BackOff" if has("Back-off pulling image") => Some("PodImagePullBackOff"),
        "FailedCreate" if has("exceeded quota") => Some("FailCreatePodExceedQuota"),
        "FailedScheduling" if has("Insufficient") => Some("ResourceInsufficient"),
        "FailedScheduling" => Some("PodFailScheduling"),
        "ProvisioningFailed" if has("disk size is not supported") => Some("DiskProvisionFailSize"),
        "ProvisioningFailed" => Some("DiskProvisionFail"),
        "FailedBinding" if has("no storage class is set") => Some("FailedBindingNoStorageClass"),
        "NodeNotReady" if event.kind != "Node" => None,
        "NodeNotReady" if has("PLEG is not healthy") => Some("NodePLEGUnhealthy"),
        "NodeNotReady" => Some("NodeNotReady"),
        "AllocResourceFailed" | "ResourceInvalid" if has("IpNotEnough") => {
            Some("ClusterIPNotEnough")
        }
        "AllocResourceFailed" => Some("CNIAllocResourceFail"),
        "ResourceInvalid" => Some("CNIResourceInvalid"),
        _ => None,
    }
}

fn failed(kind: &str, message: &str) -> Option<&'static str> {
    let pulling = message.contains("ImagePullBackOff") || message.contains("ErrImagePull");
    if pulling {
        Some("PodImagePullBackOff")
    } else if kind == "Pod" && !message.contains("Failed to pull image") {
        Some("PodFailStart")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(event_type: &str, kind: &str, reason: &str, message: &str) -> Class {
        classify(&EventFacts {
            event_type,
            reason,
            kind,
            namespace: "shop",
            object_namespace: "shop",
            name: "web",
            message,
        })
    }

    #[test]
    fn a_reason_alone_makes_an_error() {
        // Every pair of kube-eventer's table, in its order.
        let table = "Evicted->PodEvict OOMKilling->PodOOM PodOOMKilling->PodOOM \
             FailedMount->VolumeFailMount FailedAttachVolume->VolumeFailMount SystemOOM->NodeOOM \
             Rebooted->NodeRebooted NodeHasDiskPressure->NodeDiskPressure DockerHung->NodeDockerHung \
             PSProcessIsHung->NodePSHung NodeHasNvidiaXidError->NodeGPUXIPError \
             NodeHasFDPressure->NodeFDPressure PIDPressure->NodeFDPressure \
             NodeHasPIDPressure->NodeFDPressure NTPIsDown->NodeNPTDown ConntrackFull->ConnTrackFull \
             SyncLoadBalancerFailed->CcmSLBSyncFail DeleteLoadBalancerFailed->CcmSLBDeleteFail \
             CreateRouteFailed->CcmCreateRouteFail SYncRouteFailed->CcmSyncRouteFail \
             AddNodeFailed->CcmAddNodeFail DeteleNodeFailed->CcmDeleteNodeFail \
             UnAvailableLoadBalancer->CcmSLBUnavailable AnnotationChanged->CcmSLBAnnotationChanged \
             ServiceSpecChanged->CcmSLBSpecChanged SlowIO->CSISlowIO DeviceBusy->CSIDeviceBusy \
             IOHang->CSIIOHang AllocIPFailed->CNIAllocIPFail ParseFailed->CNIParseFail \
             DisposeResourceFailed->CNIDisposeResourceFail";
        let mut lines = 0;
        for line in table.split_whitespace() {
            let (reason, expected) = line.split_once("->").expect("a pair");
            for event_type in ["Normal", "Warning"] {
                let Class::Error(found) = class(event_type, "Pod", reason, "") else {
                    panic!("{reason} is not an error");
                };
                assert_eq!(found, expected, "{reason}");
            }
            lines += 1;
        }
        assert_eq!(lines, 31);
    }

    #[test]
    fn a_reason_with_a_message_makes_an_error() {
        // Kind, reason, message, class ("" when it is none).
        let table = [
            ("Pod", "Failed", "Error: cannot start", "PodFailStart"),
            ("Pod", "Failed", "", "PodFailStart"),
            ("Job", "Failed", "Error: cannot start", ""),
            ("Pod", "Failed", "Error: ImagePullBackOff", "PodImagePullBackOff"),
            ("Pod", "Failed", "Error: ErrImagePull", "PodImagePullBackOff"),
            ("Job", "Failed", "Error: ErrImagePull", "PodImagePullBackOff"),
            ("Pod", "Failed", "Failed to pull image \"a\": not found", ""),
            ("Pod", "Failed", "Failed to pull image: ErrImagePull", "PodImagePullBackOff"),
            ("Pod", "BackOff", "Back-off restarting failed container web", "PodCrash"),
            ("Pod", "BackOff", "Back-off pulling image \"a\"", "PodImagePullBackOff"),
            ("Pod", "BackOff", "Job has reached the limit", ""),
            ("ReplicaSet", "FailedCreate", "exceeded quota: q", "FailCreatePodExceedQuota"),
            ("ReplicaSet", "FailedCreate", "forbidden", ""),
            ("Pod", "FailedScheduling", "2 Insufficient cpu", "ResourceInsufficient"),
            ("Pod", "FailedScheduling", "untolerated taint", "PodFailScheduling"),
            ("Pvc", "ProvisioningFailed", "disk size is not supported", "DiskProvisionFailSize"),
            ("Pvc", "ProvisioningFailed", "denied", "DiskProvisionFail"),
            ("Pvc", "FailedBinding", "no storage class is set", "FailedBindingNoStorageClass"),
            ("Pvc", "FailedBinding", "no volume", ""),
            ("Node", "NodeNotReady", "PLEG is not healthy: 3m", "NodePLEGUnhealthy"),
            ("Node", "NodeNotReady", "Node is not ready", "NodeNotReady"),
            ("Pod", "NodeNotReady", "Node is not ready", ""),
            ("Pod", "AllocResourceFailed", "IpNotEnough", "ClusterIPNotEnough"),
            ("Pod", "AllocResourceFailed", "denied", "CNIAllocResourceFail"),
            ("Pod", "ResourceInvalid", "IpNotEnough", "ClusterIPNotEnough"),
            ("Pod", "ResourceInvalid", "denied", "CNIResourceInvalid"),
        ];
        for (kind, reason, message, expected) in table {
            let expected =
                if expected.is_empty() { Class::Warning } else { Class::Error(expected) };
            assert_eq!(class("Warning", kind, reason, message), expected, "{reason} {message:?}");
        }
    }

    #[test]
    fn everything_else_goes_by_its_type() {
        assert_eq!(class("Warning", "Pod", "Unhealthy", ""), Class::Warning);
        assert_eq!(class("Normal", "Pod", "Pulled", ""), Class::Normal);
        assert_eq!(class("", "Pod", "Pulled", ""), Class::Normal);
    }
}
