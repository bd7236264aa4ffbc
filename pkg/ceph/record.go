package ceph

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
)

// RecordVersion is the format that this version reads and writes.
const RecordVersion = 1

// Record is what the project remembers of an image. It is stored as one RADOS
// object beside the image, named by [RecordObject], and changed only by
// compare-and-swap. RBD image metadata would be the wrong place: setting it is
// not atomic, needs the exclusive lock, and concurrent writers abort the process
// inside librbd 16.2.
//
// The stored bytes are one JSON object:
//
//	{"version":1,"token":"5e0c…","claimSize":10737418240}
type Record struct {
	// Token is unique to one write: a write that timed out may have happened,
	// and only a token read back tells.
	Token string
	// ClaimSize is the storage request of the PVC in bytes, fixed when the image
	// is made. Kubernetes cannot resize a static PVC, so PV and PVC keep this
	// size while the image grows.
	ClaimSize uint64

	// Revision is where the record stood when it was read: the object's RADOS
	// version. Zero means that there was no record.
	Revision uint64
}

// RecordStore reads and swaps records.
type RecordStore interface {
	// Record returns the image's record, ErrRecordNotFound when there is none,
	// and ErrRecordUnknown when it has another format.
	Record(ctx context.Context, image Image) (Record, error)
	// PutRecord stores record if the stored one still is at record.Revision, and
	// returns it with its new Token and Revision. Otherwise it changes nothing
	// and returns ErrRecordChanged. The caller's Token is ignored.
	PutRecord(ctx context.Context, image Image, record Record) (Record, error)
}

// RecordObject is the name of the RADOS object that holds the record of the
// image with that ID, in the image's pool and rados namespace.
func RecordObject(imageID string) string { return "cephferry." + imageID }

// storedRecord is the JSON form. Every field is always written, so that a record
// with a field missing is recognised as not ours.
type storedRecord struct {
	Version   *int    `json:"version"`
	Token     *string `json:"token"`
	ClaimSize *uint64 `json:"claimSize"`
}

// Encode returns the bytes to store.
func (r Record) Encode() []byte {
	version := RecordVersion
	data, err := json.Marshal(storedRecord{&version, &r.Token, &r.ClaimSize})
	if err != nil {
		panic(err) // numbers and strings always marshal
	}
	return data
}

// DecodeRecord parses stored bytes; Revision stays zero. Anything but exactly
// the fields of RecordVersion is ErrRecordUnknown: writing back a record of
// which a part was not understood would drop that part.
func DecodeRecord(data []byte) (Record, error) {
	var version struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return Record{}, fmt.Errorf("decode record: %w: %w", ErrRecordUnknown, err)
	}
	if version.Version != RecordVersion {
		return Record{}, fmt.Errorf("decode record: version %d, this program knows version %d: %w", version.Version, RecordVersion, ErrRecordUnknown)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	var stored storedRecord
	if err := decoder.Decode(&stored); err != nil {
		return Record{}, fmt.Errorf("decode record: %w: %w", ErrRecordUnknown, err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return Record{}, fmt.Errorf("decode record: bytes after the object: %w", ErrRecordUnknown)
	}
	if stored.Token == nil || stored.ClaimSize == nil {
		return Record{}, fmt.Errorf("decode record: token or claimSize is missing: %w", ErrRecordUnknown)
	}
	return Record{Token: *stored.Token, ClaimSize: *stored.ClaimSize}, nil
}
