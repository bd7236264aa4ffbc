// Package imagename gives keyed images their names. The record says whose an image is, and
// the name carries that out: a kubelet opens the image by the name that its own cluster's
// PersistentVolumes have, and finds none under it as long as another cluster owns the
// image.
package imagename
