// Package guard refuses to start pods on an image that another cluster has open.
//
// Three endpoints call one decision:
//
//   - scale: a scale subresource, or a Deployment or StatefulSet, whose replicas
//     rise. It answers the user at once: raising replicas is refused, and a new
//     object is stored with a warning. Safety does not depend on it.
//   - pod: a pod is created. Everything that starts a pod passes here.
//   - volume: a PersistentVolume gets the claim that it is for. It opens the pod
//     endpoint for the claim's namespace, by a label that the webhook's
//     configuration selects on, before the claim can be bound; and it looks at the
//     volume in the name of pods that wait for it already.
//
// Namespaces and Unused keep that label where it belongs. A policy of the chart keeps
// everybody else from taking it away.
//
// The decision is the pure function Decide: watchers of the image on one side,
// what this cluster's own state accounts for on the other. It is asked only about
// states that are known. Whatever cannot be found out is an error on the way
// there, and is answered with "cannot know", never with "allowed".
package guard
