//! Fields of a core/v1 Event by their Go names.
//!
//! Source: `k8s.io/api/core/v1` and `k8s.io/apimachinery/pkg/apis/meta/v1`.

/// A Go struct.
#[derive(Debug)]
pub(super) struct Shape {
    /// Its type's name.
    pub(super) name: &'static str,
    pub(super) fields: &'static [Field],
}

/// A field of a Go struct.
#[derive(Debug)]
pub(super) struct Field {
    /// Name in Go.
    pub(super) name: &'static str,
    /// Key in JSON.
    pub(super) key: &'static str,
    pub(super) kind: Kind,
}

/// The type of a field, which says what it is when it is missing.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    Integer,
    Time,
    /// Labels and annotations.
    TextMap,
    Texts,
    Struct(&'static Shape),
    /// A struct that may be absent.
    Pointer(&'static Shape),
    Structs(&'static Shape),
    TimePointer,
    IntegerPointer,
    BoolPointer,
}

const fn field(name: &'static str, key: &'static str, kind: Kind) -> Field {
    Field { name, key, kind }
}

impl Shape {
    /// The field of this name.
    pub(super) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// The field whose own fields an Event has too.
pub(super) const EMBEDDED: &str = "ObjectMeta";

pub(super) static EVENT: Shape = Shape {
    name: "Event",
    fields: &[
        field("Kind", "kind", Kind::Text),
        field("APIVersion", "apiVersion", Kind::Text),
        field(EMBEDDED, "metadata", Kind::Struct(&OBJECT_META)),
        field("InvolvedObject", "involvedObject", Kind::Struct(&OBJECT_REFERENCE)),
        field("Reason", "reason", Kind::Text),
        field("Message", "message", Kind::Text),
        field("Source", "source", Kind::Struct(&EVENT_SOURCE)),
        field("FirstTimestamp", "firstTimestamp", Kind::Time),
        field("LastTimestamp", "lastTimestamp", Kind::Time),
        field("Count", "count", Kind::Integer),
        field("Type", "type", Kind::Text),
        field("EventTime", "eventTime", Kind::Time),
        field("Series", "series", Kind::Pointer(&EVENT_SERIES)),
        field("Action", "action", Kind::Text),
        field("Related", "related", Kind::Pointer(&OBJECT_REFERENCE)),
        field("ReportingController", "reportingComponent", Kind::Text),
        field("ReportingInstance", "reportingInstance", Kind::Text),
    ],
};

pub(super) static OBJECT_META: Shape = Shape {
    name: "ObjectMeta",
    fields: &[
        field("Name", "name", Kind::Text),
        field("GenerateName", "generateName", Kind::Text),
        field("Namespace", "namespace", Kind::Text),
        field("SelfLink", "selfLink", Kind::Text),
        field("UID", "uid", Kind::Text),
        field("ResourceVersion", "resourceVersion", Kind::Text),
        field("Generation", "generation", Kind::Integer),
        field("CreationTimestamp", "creationTimestamp", Kind::Time),
        field("DeletionTimestamp", "deletionTimestamp", Kind::TimePointer),
        field("DeletionGracePeriodSeconds", "deletionGracePeriodSeconds", Kind::IntegerPointer),
        field("Labels", "labels", Kind::TextMap),
        field("Annotations", "annotations", Kind::TextMap),
        field("OwnerReferences", "ownerReferences", Kind::Structs(&OWNER_REFERENCE)),
        field("Finalizers", "finalizers", Kind::Texts),
        field("ClusterName", "clusterName", Kind::Text),
    ],
};

static OBJECT_REFERENCE: Shape = Shape {
    name: "ObjectReference",
    fields: &[
        field("Kind", "kind", Kind::Text),
        field("Namespace", "namespace", Kind::Text),
        field("Name", "name", Kind::Text),
        field("UID", "uid", Kind::Text),
        field("APIVersion", "apiVersion", Kind::Text),
        field("ResourceVersion", "resourceVersion", Kind::Text),
        field("FieldPath", "fieldPath", Kind::Text),
    ],
};

static EVENT_SOURCE: Shape = Shape {
    name: "EventSource",
    fields: &[field("Component", "component", Kind::Text), field("Host", "host", Kind::Text)],
};

static EVENT_SERIES: Shape = Shape {
    name: "EventSeries",
    fields: &[
        field("Count", "count", Kind::Integer),
        field("LastObservedTime", "lastObservedTime", Kind::Time),
        field("State", "state", Kind::Text),
    ],
};

static OWNER_REFERENCE: Shape = Shape {
    name: "OwnerReference",
    fields: &[
        field("Kind", "kind", Kind::Text),
        field("Name", "name", Kind::Text),
        field("UID", "uid", Kind::Text),
        field("APIVersion", "apiVersion", Kind::Text),
        field("Controller", "controller", Kind::BoolPointer),
        field("BlockOwnerDeletion", "blockOwnerDeletion", Kind::BoolPointer),
    ],
};
