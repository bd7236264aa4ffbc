// Package inventory says what this cluster has, for a person who asks: its guarded volumes,
// who owns their images and who watches them, and what one of its nodes uses. All of it is
// read on demand, from the API server and from Ceph; the webhook need not run.
package inventory
