package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cephferry/cephferry/test/lab"
)

// operations are how many the OSD does for clients during act.
func operations(ctx context.Context, ceph *lab.Ceph, act func() error) (int, error) {
	read := func() (int, error) {
		data, err := ceph.Run(ctx, "tell", "osd.0", "perf", "dump", "osd", "op")
		if err != nil {
			return 0, err
		}
		return readOperations(data)
	}
	before, err := read()
	if err != nil {
		return 0, err
	}
	if err := act(); err != nil {
		return 0, err
	}
	after, err := read()
	return after - before, err
}

// readOperations reads the counter of an OSD.
func readOperations(data []byte) (int, error) {
	var dump struct {
		OSD struct {
			Op *int `json:"op"`
		} `json:"osd"`
	}
	err := json.Unmarshal(data, &dump)
	if err == nil && dump.OSD.Op == nil {
		err = errors.New("there is none")
	}
	if err != nil {
		return 0, fmt.Errorf("read the counter of operations: %w: %s", err, data)
	}
	return *dump.OSD.Op, nil
}
