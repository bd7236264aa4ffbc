//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ceph/go-ceph/rados"

	"github.com/cephferry/cephferry/pkg/ceph"
)

const (
	// maxKeyUID bounds the uid of a cluster in bytes.
	maxKeyUID = 1024
	// keyPage is how many keys are read at a time; OSDs give at most 1,024.
	keyPage = 1000
)

func (c *connection) Keys(ctx context.Context, pool, namespace string) ([]ceph.Key, error) {
	spec := ceph.ImageSpec{Pool: pool, Namespace: namespace}
	keys, err := do(ctx, c, spec, func(ioctx *rados.IOContext) ([]ceph.Key, error) {
		if err := c.checkNamespace(spec); err != nil {
			return nil, err
		}
		keys, err := readKeys(ioctx)
		return keys, translate(err, nil)
	})
	if err != nil {
		return nil, fmt.Errorf("list the keys of pool %q, rados namespace %q: %w", pool, namespace, err)
	}
	return keys, nil
}

func (c *connection) ClaimKey(ctx context.Context, pool, namespace string, cluster ceph.Party) (string, error) {
	spec := ceph.ImageSpec{Pool: pool, Namespace: namespace}
	key, err := do(ctx, c, spec, func(ioctx *rados.IOContext) (string, error) {
		if err := c.checkNamespace(spec); err != nil {
			return "", err
		}
		return claimKey(ioctx, cluster)
	})
	if err != nil {
		return "", fmt.Errorf("claim a key in pool %q, rados namespace %q: %w", pool, namespace, err)
	}
	return key, nil
}

func claimKey(ioctx *rados.IOContext, cluster ceph.Party) (string, error) {
	if cluster.UID == "" || len(cluster.UID) >= maxKeyUID {
		return "", fmt.Errorf("cluster %q: its uid has %d bytes", cluster.Name, len(cluster.UID))
	}
	keys, err := readKeys(ioctx)
	if err != nil {
		return "", translate(err, nil)
	}
	// The list can be wrong about who has a key, after claims that died. It is right
	// nearly always: so first the keys that it has for this cluster.
	mine := slices.DeleteFunc(slices.Clone(keys), func(k ceph.Key) bool { return k.UID != cluster.UID })
	others := slices.DeleteFunc(keys, func(k ceph.Key) bool { return k.UID == cluster.UID })
	var taken *ceph.KeyTakenError
	for _, key := range slices.Concat(mine, others) {
		uid, err := readKey(ioctx, key.Name)
		if err != nil {
			return "", err
		}
		if uid == "" {
			continue
		}
		if uid != key.UID {
			if err := listKey(ioctx, key.Name, uid); err != nil {
				return "", err
			}
		}
		if uid == cluster.UID {
			return key.Name, nil
		}
		if key.Name == cluster.Name {
			taken = &ceph.KeyTakenError{Key: key.Name, UID: uid}
		}
	}
	if taken != nil {
		return "", taken
	}
	return makeKey(ioctx, cluster)
}

// makeKey makes the cluster's name its key, unless another cluster is faster.
func makeKey(ioctx *rados.IOContext, cluster ceph.Party) (string, error) {
	if err := ceph.CheckKey(cluster.Name); err != nil {
		return "", err
	}
	// First, so that no image has a key that nobody finds.
	if err := listKey(ioctx, cluster.Name, cluster.UID); err != nil {
		return "", err
	}
	has := cluster.UID
	_, err := swapObject(ioctx, ceph.KeyObject(cluster.Name), []byte(has), 0, ceph.ErrKeyTaken)
	if errors.Is(err, ceph.ErrKeyTaken) {
		has, err = readKey(ioctx, cluster.Name)
	}
	if err != nil {
		return "", err
	}
	// Others may have listed themselves meanwhile.
	if err := listKey(ioctx, cluster.Name, has); err != nil {
		return "", err
	}
	if has != cluster.UID {
		return "", &ceph.KeyTakenError{Key: cluster.Name, UID: has}
	}
	return cluster.Name, nil
}

// readKeys returns all keys that are listed, sorted, in one operation if they are not
// very many. Its errors are not translated.
func readKeys(ioctx *rados.IOContext) ([]ceph.Key, error) {
	var keys []ceph.Key
	for last := ""; ; last = keys[len(keys)-1].Name {
		page, err := ioctx.GetOmapValues(ceph.KeysObject, last, "", keyPage)
		if errno(err) == enoent {
			return nil, nil // it is made with the first key
		}
		if err != nil {
			return nil, err
		}
		for _, name := range slices.Sorted(maps.Keys(page)) {
			keys = append(keys, ceph.Key{Name: name, UID: string(page[name])})
		}
		if len(page) < keyPage {
			return keys, nil
		}
	}
}

// readKey returns the uid of the cluster that has the key, empty when none has.
func readKey(ioctx *rados.IOContext, key string) (string, error) {
	uid, _, err := readObject(ioctx, ceph.KeyObject(key), maxKeyUID, ceph.ErrRegistrationNotFound)
	if errors.Is(err, ceph.ErrRegistrationNotFound) {
		return "", nil
	}
	return string(uid), err
}

func listKey(ioctx *rados.IOContext, key, uid string) error {
	op := rados.CreateWriteOp()
	defer op.Release()
	op.SetOmap(map[string][]byte{key: []byte(uid)})
	return translate(op.Operate(ioctx, ceph.KeysObject, rados.OperationNoFlag), nil)
}
