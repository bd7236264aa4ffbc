// Package takeover carries out the objects of kind Takeover: it shows what a failover would
// do, waits until a person has confirmed exactly that, and does it.
//
// Every decision comes from the records beside the images, which are read each time. Of its
// own status the package trusts only what a person's confirmation vouches for: status.plan and
// status.volumes count only while their hash is the one in spec.confirm, which only that
// person may write.
//
//	Planning   the plan is being made; the message says what prevents that
//	Planned    nothing is confirmed, or a plan other than the current one
//	Refused    the plan cannot be carried out
//	Running    the hash of the plan was confirmed; status.confirmed says so before
//	           anything is changed in Ceph
//	Failed     it broke off, and is tried again; or it needs another confirmation
//	Done       it is history
//
// A new leader continues what is Running. It finds one of three states of each image: this
// cluster owns it; this person is taking it for this cluster; or its record is the one that
// was confirmed, to the byte. Anything else, or a machine to fence that was not in the plan,
// means that somebody gave the takeover up or that the cluster lives. Then nothing is done
// until a person has confirmed the current plan.
package takeover
