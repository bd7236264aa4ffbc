package goceph

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// code is an error as go-ceph makes them.
type code int

func (c code) Error() string  { return fmt.Sprintf("rados: ret=%d", int(c)) }
func (c code) ErrorCode() int { return int(c) }

func TestTranslate(t *testing.T) {
	plain := errors.New("rados: x")
	tests := map[string]struct {
		err  error
		call meanings
		want error
	}{
		"none":                           {nil, nil, nil},
		"timed out":                      {code(-110), nil, ceph.ErrUnreachable},
		"denied by an OSD":               {code(-1), nil, ceph.ErrPermission},
		"denied by a monitor":            {code(-13), nil, ceph.ErrPermission},
		"quota used up":                  {code(-122), nil, ceph.ErrPoolFull},
		"cluster full":                   {code(-28), nil, ceph.ErrPoolFull},
		"on the blocklist":               {code(-108), nil, ceph.ErrBlocklisted},
		"the call's meaning goes first":  {code(-13), meanings{eacces: ceph.ErrAuth}, ceph.ErrAuth},
		"wrapped":                        {fmt.Errorf("write operation: %w", code(-17)), meanings{eexist: ceph.ErrRecordChanged}, ceph.ErrRecordChanged},
		"among several":                  {errors.Join(plain, code(-110)), nil, ceph.ErrUnreachable},
		"a number without meaning stays": {code(-5), meanings{eexist: ceph.ErrImageExists}, code(-5)},
		"an error without number stays":  {plain, nil, plain},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := translate(test.err, test.call)
			if !errors.Is(got, test.want) {
				t.Errorf("got %v; want %v", got, test.want)
			}
			if test.err != nil && !errors.Is(got, test.err) {
				t.Errorf("%v does not say what the library said", got)
			}
		})
	}
}
