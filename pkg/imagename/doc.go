// Package imagename gives keyed images their names. The record says who owns an image, and
// the name enforces it: a kubelet opens the image by the name that its own cluster's
// PersistentVolumes have, and finds nothing under that name while another cluster owns the
// image.
package imagename
