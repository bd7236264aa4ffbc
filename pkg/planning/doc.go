// Package planning makes the plan for a failover of several claims: what is known of
// their images, gathered once for all of them, the decision about each, and the text that a
// person confirms. What decides is pkg/failover.
package planning
