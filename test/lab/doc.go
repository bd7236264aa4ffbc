// Package lab starts real servers on this machine's loopback: one Ceph (monitor,
// OSD, manager and metadata server from Debian's packages) and Kubernetes control
// planes (etcd, kube-apiserver, kube-controller-manager). With [Nodes], the
// clusters also have kube-scheduler and machines whose pods open real images and
// mount real CephFS (package agent).
//
// The project's promises are about what Ceph and the API server really do, and
// neither is easy to imitate: watches outlive their clients, a bound claim is
// the work of several controllers. So tests and the demo use the real ones, and
// they are made quick enough to start for a single test: a Ceph in about one
// second, a control plane in about four.
//
// Everything a server writes is inside the folder that its starter names,
// nothing listens outside 127.0.0.1, ports are picked free, and no unix socket
// is made (a path longer than 107 bytes would break it), so that any number of
// labs can run beside each other. With nodes, Ceph and the API servers listen in
// a [Network] of the lab instead, which nothing outside this machine reaches.
//
// A server is recorded with its process id and start time before it runs, and is
// only ever signalled when both still match. [Options.Detached] servers outlive
// their starter until [Down]; the others die with it, however it ends.
//
// A node loses Ceph and the API server when its cable is pulled, goes on writing
// after a freeze, and leaves its watches behind when it is killed: see [Node].
//
// All of it is for Linux: it reads /proc and asks the kernel to end orphans.
//
// Tests use package labtest; people use `make lab-up`, which is [Up].
package lab
