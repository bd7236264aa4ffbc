// Package apps installs charts with the real Helm on two real clusters with nodes,
// and checks what their pods do to the volumes: files on CephFS that pods of both
// clusters write at once, and a volume made by ceph-csi that is adopted as
// docs/adopt.md says. In each cluster the webhook runs as the chart sets it up.
//
// All tests share one lab, and each has a namespace of its own in both clusters. They have
// the build tag lab, start their servers themselves and need root. Nothing is skipped.
package apps
