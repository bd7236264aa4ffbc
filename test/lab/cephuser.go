//go:build linux

package lab

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// User is a cephx user.
type User struct {
	// ID is the name without "client.".
	ID  string
	Key string
	// KeyringFile is for `--keyring`; with the lab's ceph.conf `--id` is enough.
	KeyringFile string
}

// CreateUser makes the user client.<id>, with caps as `ceph auth get-or-create`
// takes them: "mon", "allow r", "osd", "profile rbd pool=replicapool".
func (c *Ceph) CreateUser(ctx context.Context, id string, caps ...string) (User, error) {
	name := "client." + id
	file := c.keyringFile(name)
	if _, err := c.Run(ctx, append([]string{"auth", "get-or-create", name, "-o", file}, caps...)...); err != nil {
		return User{}, err
	}
	written, err := os.ReadFile(file)
	if err != nil {
		return User{}, err
	}
	_, key, found := strings.Cut(string(written), "key = ")
	if !found {
		return User{}, fmt.Errorf("read the key of %s: there is none in %s", name, file)
	}
	key, _, _ = strings.Cut(key, "\n")
	return User{ID: id, Key: strings.TrimSpace(key), KeyringFile: file}, nil
}

// copyUser makes the user client.<id> with the caps of another one.
func (c *Ceph) copyUser(ctx context.Context, user User, id string) (User, error) {
	out, err := c.Run(ctx, "auth", "get", "client."+user.ID, "--format", "json")
	if err != nil {
		return User{}, err
	}
	var entities []struct{ Caps map[string]string }
	if err := json.Unmarshal(out, &entities); err != nil {
		return User{}, fmt.Errorf("read the caps of client.%s: %w", user.ID, err)
	}
	var caps []string
	for _, entity := range entities {
		for service, granted := range entity.Caps {
			caps = append(caps, service, granted)
		}
	}
	return c.CreateUser(ctx, id, caps...)
}

// keyringFile is where ceph.conf says that an entity's key is.
func (c *Ceph) keyringFile(entity string) string {
	return filepath.Join(c.dir, "keyrings", entity+".keyring")
}

// keyring is one section of a keyring file.
func keyring(entity, key string, caps []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[%s]\n\tkey = %s\n", entity, key)
	for i := 0; i+1 < len(caps); i += 2 {
		fmt.Fprintf(&b, "\tcaps %s = \"%s\"\n", caps[i], caps[i+1])
	}
	return b.String()
}

// newKey is a cephx key as `ceph-authtool --gen-print-key` makes it: type 1
// (AES), time of creation in seconds and nanoseconds, length, 16 random bytes,
// all little-endian.
func newKey() string {
	now := time.Now()
	b := binary.LittleEndian.AppendUint16(nil, 1)
	b = binary.LittleEndian.AppendUint32(b, uint32(now.Unix()))
	b = binary.LittleEndian.AppendUint32(b, uint32(now.Nanosecond()))
	b = binary.LittleEndian.AppendUint16(b, 16)
	secret := make([]byte, 16)
	_, _ = rand.Read(secret) // never fails
	return base64.StdEncoding.EncodeToString(append(b, secret...))
}
