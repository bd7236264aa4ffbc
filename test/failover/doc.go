// Package failover tries kubectl cephferry on the lab: real Ceph, two clusters with
// nodes, the real program. It also runs the commands of docs/runbook.md.
package failover
