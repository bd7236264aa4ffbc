// Package planning makes the plan for a failover of several claims. It gathers what is known
// of their images, once for all of them, and writes the text that a person confirms. The
// decision about each image is made by pkg/failover.
package planning
