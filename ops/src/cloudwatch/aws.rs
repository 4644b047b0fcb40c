//! The metrics of AWS that the template uses: what CloudWatch would never tell is misspelt, since an alarm on a metric
//! that nobody sends is valid and silent for ever. From the services' documentation.

/// Metrics that have the same dimension sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group {
    /// Their namespace.
    pub(crate) namespace: &'static str,
    /// Their names.
    pub(crate) metrics: &'static [&'static str],
    /// The dimension sets under which each can be read.
    pub(crate) dimension_sets: &'static [&'static [&'static str]],
}

const TASKS: &[&[&str]] = &[&["ClusterName", "ServiceName"], &["ClusterName"]];
const LOAD_BALANCER: &[&[&str]] = &[&["LoadBalancer"], &["AvailabilityZone", "LoadBalancer"]];
const TARGETS: &[&[&str]] = &[
    &["LoadBalancer"],
    &["AvailabilityZone", "LoadBalancer"],
    &["LoadBalancer", "TargetGroup"],
    &["AvailabilityZone", "LoadBalancer", "TargetGroup"],
];
const HOSTS: &[&[&str]] = &[&["LoadBalancer", "TargetGroup"], &["AvailabilityZone", "LoadBalancer", "TargetGroup"]];

/// Every group; dimension names in the order of the alphabet.
pub(crate) const GROUPS: &[Group] = &[
    Group {
        namespace: "AWS/ApplicationELB",
        metrics: &[
            "RequestCount",
            "TargetResponseTime",
            "HTTPCode_Target_2XX_Count",
            "HTTPCode_Target_3XX_Count",
            "HTTPCode_Target_4XX_Count",
            "HTTPCode_Target_5XX_Count",
            "TargetConnectionErrorCount",
            "TargetTLSNegotiationErrorCount",
        ],
        dimension_sets: TARGETS,
    },
    Group {
        namespace: "AWS/ApplicationELB",
        metrics: &[
            "HTTPCode_ELB_3XX_Count",
            "HTTPCode_ELB_4XX_Count",
            "HTTPCode_ELB_5XX_Count",
            "HTTPCode_ELB_500_Count",
            "HTTPCode_ELB_502_Count",
            "HTTPCode_ELB_503_Count",
            "HTTPCode_ELB_504_Count",
            "RejectedConnectionCount",
            "ActiveConnectionCount",
            "NewConnectionCount",
            "ClientTLSNegotiationErrorCount",
        ],
        dimension_sets: LOAD_BALANCER,
    },
    Group {
        namespace: "AWS/ApplicationELB",
        metrics: &["HealthyHostCount", "UnHealthyHostCount"],
        dimension_sets: HOSTS,
    },
    Group { namespace: "AWS/ECS", metrics: &["CPUUtilization", "MemoryUtilization"], dimension_sets: TASKS },
    Group {
        namespace: "ECS/ContainerInsights",
        metrics: &[
            "DesiredTaskCount",
            "RunningTaskCount",
            "PendingTaskCount",
            "DeploymentCount",
            "TaskSetCount",
            "CpuUtilized",
            "MemoryUtilized",
        ],
        dimension_sets: &[&["ClusterName", "ServiceName"]],
    },
    Group {
        namespace: "AWS/RDS",
        metrics: &[
            "CPUUtilization",
            "DatabaseConnections",
            "FreeableMemory",
            "FreeStorageSpace",
            "ReadLatency",
            "WriteLatency",
            "ReadIOPS",
            "WriteIOPS",
            "DiskQueueDepth",
            "DBLoad",
            "BurstBalance",
            "CPUCreditBalance",
            "SwapUsage",
            "ReplicaLag",
            "MaximumUsedTransactionIDs",
        ],
        dimension_sets: &[&["DBInstanceIdentifier"]],
    },
    Group {
        namespace: "AWS/ElastiCache",
        metrics: &[
            "CPUUtilization",
            "EngineCPUUtilization",
            "DatabaseMemoryUsagePercentage",
            "Evictions",
            "CurrConnections",
            "SwapUsage",
            "ReplicationLag",
        ],
        dimension_sets: &[&["CacheClusterId", "CacheNodeId"], &["CacheClusterId"]],
    },
    Group { namespace: "AWS/CertificateManager", metrics: &["DaysToExpiry"], dimension_sets: &[&["CertificateArn"]] },
    Group {
        namespace: "AWS/SNS",
        metrics: &[
            "NumberOfMessagesPublished",
            "NumberOfNotificationsDelivered",
            "NumberOfNotificationsFailed",
            "NumberOfNotificationsRedrivenToDlq",
        ],
        dimension_sets: &[&["TopicName"]],
    },
    Group {
        namespace: "AWS/Logs",
        metrics: &["IncomingLogEvents", "IncomingBytes", "EMFParsingErrors", "EMFValidationErrors"],
        dimension_sets: &[&["LogGroupName"]],
    },
];
