package ceph

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// RegistrationVersion is the format that this version writes, and the only one it reads.
const RegistrationVersion = 1

// Registration is what a guarded Kubernetes cluster keeps of itself beside the records of
// a pool. Where a record leaves open which nodes may have an image mapped, a failover
// takes them from here. Nothing is decided by its time.
//
// It is one RADOS object, named by [RegistrationObject] and changed only by
// compare-and-swap, as records are. The stored bytes are one JSON object:
//
//	{"version":1,"token":"t","uid":"7a3f…","name":"east","program":"v0.9.0",
//	 "nodes":[{"name":"e1","addresses":["10.0.1.12"],"bootID":"b1",…}],"written":"2026-11-27T09:30:00Z"}
type Registration struct {
	// Token is unique to one write, as that of a [Record].
	Token string `json:"token"`
	Party
	// Version is that of the program.
	Version string `json:"program"`
	// Nodes are the boots of the cluster's nodes, without clients.
	Nodes []Node `json:"nodes,omitempty"`
	// Written is when the cluster wrote it last, in whole seconds of UTC, for people.
	Written time.Time `json:"written"`

	// Revision is the object's RADOS version. Zero means that there was none.
	Revision uint64 `json:"-"`
}

// RegistrationOf is the registration of one cluster of several.
type RegistrationOf struct {
	UID          string
	Registration Registration
	// Err is why the registration cannot be read: ErrRegistrationUnknown, with the
	// object. The zero registration is here then.
	Err error
}

// Registrar reads and swaps registrations, and gives keys to clusters.
type Registrar interface {
	KeyStore
	// Registrations returns those of all clusters in the pool's rados namespace, sorted
	// by uid.
	Registrations(ctx context.Context, pool, namespace string) ([]RegistrationOf, error)
	// Registration returns that of the cluster with the uid, ErrRegistrationNotFound when
	// there is none, and ErrRegistrationUnknown when it has another format.
	Registration(ctx context.Context, pool, namespace, uid string) (Registration, error)
	// PutRegistration stores the registration of the cluster that it names if the stored
	// one still is at its Revision, and returns it with its new Token and Revision.
	// Otherwise it changes nothing and returns ErrRegistrationChanged. The caller's Token
	// is ignored.
	PutRegistration(ctx context.Context, pool, namespace string, registration Registration) (Registration, error)
}

// RegistrationObject is the name of the RADOS object that holds the registration of the
// cluster with that uid. Ids of images have no dots, so no record has such a name.
func RegistrationObject(uid string) string { return "cephferry.cluster." + uid }

// RegisterObject is the name of the RADOS object whose omap has the uids of the clusters
// that are registered beside it. Listing the objects of a pool instead would go through
// every data object in it, and needs the right to read them.
const RegisterObject = "cephferry.clusters"

// storedRegistration is the JSON form.
type storedRegistration struct {
	Format int `json:"version"`
	Registration
}

// Encode returns the bytes to store.
func (r Registration) Encode() []byte {
	data, err := json.Marshal(storedRegistration{RegistrationVersion, r})
	if err != nil {
		panic(err) // strings and times always marshal
	}
	return data
}

// DecodeRegistration parses the stored bytes of the cluster with that uid; Revision stays
// zero. Anything but exactly what Encode writes is ErrRegistrationUnknown: half a list of
// nodes would leave the others unfenced.
func DecodeRegistration(uid string, data []byte) (Registration, error) {
	unknown := func(format string, arguments ...any) (Registration, error) {
		return Registration{}, fmt.Errorf("decode registration: %w: %w", fmt.Errorf(format, arguments...), ErrRegistrationUnknown)
	}
	var version struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return unknown("%w", err)
	}
	if version.Version != RegistrationVersion {
		return unknown("version %d, this program knows version %d", version.Version, RegistrationVersion)
	}
	var stored storedRegistration
	if err := decodeExactly(data, &stored); err != nil {
		return unknown("%w", err)
	}
	switch {
	case !bytes.Equal(stored.Encode(), data):
		return unknown("not the form in which this program writes it")
	case uid == "" || stored.UID != uid:
		return unknown("it is of cluster %q, not %q", stored.UID, uid)
	}
	return stored.Registration, nil
}
