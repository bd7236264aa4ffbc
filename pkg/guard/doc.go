// Package guard refuses to start pods on an image that another cluster has open.
//
// Four endpoints call one decision:
//
//   - scale: a scale subresource, or a Deployment or StatefulSet, whose replicas
//     rise. It answers the user at once: raising replicas is refused, and a new
//     object is stored with a warning. Safety does not depend on it.
//   - pod: a pod is created. Everything that starts a pod passes here.
//   - binding: a pod gets its node, which the record has to name.
//   - volume: a PersistentVolume gets the claim that it is for. Before the claim can be
//     bound, this endpoint labels the claim's namespace, and the webhook's configuration
//     selects the namespaces of the pod and binding endpoints by that label. It also checks
//     the volume for pods that wait for it already.
//
// Namespaces and Unused keep that label where it belongs. A policy of the chart keeps
// everybody else from removing it.
//
// The pure function Decide makes the decision: watchers of the image on one side, and what
// this cluster's own state accounts for on the other. It is asked only about known states.
// Whatever cannot be found out is an error on the way there, and is answered with "cannot
// know", never with "allowed".
package guard
