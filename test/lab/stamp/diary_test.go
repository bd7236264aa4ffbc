package stamp

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// files is a folder in memory.
type files struct {
	content map[string][]byte
	err     error
}

func (f *files) Append(file string, data []byte) error {
	if f.err == nil {
		f.content[file] = append(f.content[file], data...)
	}
	return f.err
}

func (f *files) Ends() (map[string][]byte, error) {
	ends := map[string][]byte{}
	for name, data := range f.content {
		ends[name] = data[max(0, len(data)-End):]
	}
	return ends, f.err
}

// shows compares what a reader sees, without times.
func shows(t *testing.T, folder Folder, want ...Stamp) {
	t.Helper()
	got, err := Newest(folder)
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		if got[i].Time.IsZero() {
			t.Errorf("stamp %d has no time", i)
		}
		got[i].Time = Stamp{}.Time
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestDiary(t *testing.T) {
	east := Writer{Cluster: "east", Node: "east-1", Pod: "shop/a", UID: "1"}
	west := Writer{Cluster: "west", Node: "west-2", Pod: "shop/a", UID: "2"}
	folder := &files{content: map[string][]byte{
		"notes":         []byte("other data\n"),
		"x.3.stamps":    []byte("{}\n"),
		"east.4.stamps": []byte(`{"cluster":"east","uid":"4","sequ`),
		"empty":         nil,
	}}
	shows(t, folder)
	diary, err := Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	write := func(diary *Diary, writer Writer) {
		t.Helper()
		if err := diary.Write(writer); err != nil {
			t.Fatal(err)
		}
	}
	write(diary, west)
	for range 100 { // more than End
		write(diary, east)
	}
	shows(t, folder, Stamp{Sequence: 100, Writer: east}, Stamp{Sequence: 1, Writer: west})

	folder.err = errors.New("no space left")
	if err := diary.Write(east); !errors.Is(err, folder.err) {
		t.Errorf("error = %v", err)
	}
	if _, err := Newest(folder); !errors.Is(err, folder.err) {
		t.Errorf("error = %v", err)
	}
	folder.err = nil

	// The node mounts it again.
	if diary, err = Open(folder); err != nil {
		t.Fatal(err)
	}
	write(diary, east)
	shows(t, folder, Stamp{Sequence: 101, Writer: east}, Stamp{Sequence: 1, Writer: west})

	// A line that another node is writing just now.
	folder.content[west.file()] = append(folder.content[west.file()], `{"sequence":2,"cl`...)
	shows(t, folder, Stamp{Sequence: 101, Writer: east}, Stamp{Sequence: 1, Writer: west})
}
