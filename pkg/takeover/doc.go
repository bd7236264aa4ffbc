// Package takeover carries out the objects of kind Takeover: it shows what a failover would
// do, waits until a person has confirmed exactly that, and does it.
//
// What is decided comes from the records beside the images, each time anew. Of its own status
// it uses what a person's confirmation vouches for: status.plan and status.volumes count only as
// far as their hash is the one in spec.confirm, which only the person may write.
//
//	Planning   the plan is being made; what keeps it from that is in the message
//	Planned    nothing is confirmed, or another plan than that of now
//	Refused    the plan cannot be carried out
//	Running    the hash of the plan was confirmed, and status.confirmed says so before
//	           Ceph is told anything
//	Failed     it broke off, and is tried again; or it needs another confirmation
//	Done       it is history
//
// A leader that begins goes on with what is Running. Of each image it finds one of three things:
// it is this cluster's; it is being taken by this person for this cluster; or its record is the
// one that was confirmed, to the byte. Anything else, and machines to fence that were not in the
// plan, mean that somebody gave the takeover up or that the cluster lives: then nothing is done
// until a person has confirmed the plan of now.
package takeover
