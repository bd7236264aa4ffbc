// Package adopt carries out docs/adopt.md as a client of the API server: a claim whose volume
// ceph-csi made becomes a migratable pair. The image stays. Its Kubernetes objects are
// recreated, and the webhook's provisioner gives the image its new name.
//
// Nothing is deleted until two things are certain: the API server, asked again, says that the
// volume has the policy Retain; and a file is on disk from which kubectl recreates the old
// claim and volume. Repeat a run that died: what exists shows how far it got.
//
//	claim                   its volume          next
//	bound to ceph-csi's     Bound               check all, write the file, grant, Retain, delete the claim
//	the same, being deleted Bound               wait until it is gone
//	gone                    Released            Retain?, delete the volume
//	gone                    being deleted       wait until it is gone
//	gone                    gone                create the new claim
//	the new one             gone                wait until it is bound, take the grant back
//	any other               any                 refuse
//
// Every row but the first needs the file.
package adopt
