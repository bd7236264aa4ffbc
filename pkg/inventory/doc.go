// Package inventory says what this cluster has, for a person who asks: its guarded
// volumes, who owns and who watches their images, and what a node of it uses. All of
// it is read now, from the API server and from Ceph; the webhook need not run.
package inventory
