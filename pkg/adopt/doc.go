// Package adopt carries out docs/adopt.md: a claim with a volume that ceph-csi made becomes a
// migratable pair, as a client of the API server. The image stays; its objects are made anew, and
// the provisioner of the webhook gives it its new name.
//
// Nothing goes before the volume has the policy Retain, as the API server says when it is asked
// again, and before a file is on the disk from which kubectl makes the old claim and volume again. A
// run that died is repeated: what there is says how far it was.
//
//	claim                   its volume          next
//	bound to ceph-csi's     Bound               check all, write the file, grant, Retain, delete the claim
//	the same, being deleted Bound               wait until it is gone
//	gone                    Released            Retain?, delete the volume
//	gone                    being deleted       wait until it is gone
//	gone                    gone                make the new claim
//	the new one             gone                wait until it is bound, take the grant back
//	any other               any                 refuse
//
// All but the first need the file.
package adopt
