//go:build linux

// Package browser drives Debian's Chromium in tests, through the pipe that its DevTools
// protocol can be spoken over: no port is opened, and no library is needed.
//
// A Tab waits for what the page is to show, never for a length of time.
package browser

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	program = "chromium-headless-shell"
	// limit bounds what a test waits for, on a machine that does much else.
	limit = 60 * time.Second
	poll  = 20 * time.Millisecond
)

// Browser is a running Chromium.
type Browser struct {
	write *os.File

	mu      sync.Mutex
	last    int
	waiting map[int]chan answer
	ended   error
}

type answer struct {
	ID     int
	Result json.RawMessage
	Error  *struct{ Message string }
}

// Start starts a Chromium that ends with the test. The test fails where there is none.
func Start(t testing.TB) *Browser {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%v; make deps installs it", err)
	}
	theirRead, ourWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ourRead, theirWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	// Tests may run as root, and in containers, where it cannot make its own sandbox.
	command := exec.Command(path, "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--disable-extensions", "--disable-background-networking", "--no-first-run", "--user-data-dir="+t.TempDir(), "about:blank")
	command.ExtraFiles = []*os.File{theirRead, theirWrite} // 3 and 4, as it wants them
	command.Stderr = &said
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	theirRead.Close()
	theirWrite.Close()
	b := &Browser{write: ourWrite, waiting: map[int]chan answer{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.listen(ourRead)
	}()
	t.Cleanup(func() {
		// All of its processes, which are a group.
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
		_ = command.Wait()
		ourWrite.Close()
		<-done
		ourRead.Close()
		if t.Failed() {
			t.Logf("chromium said:\n%s", said.String())
		}
	})
	return b
}

func (b *Browser) listen(from *os.File) {
	lines := bufio.NewReader(from)
	for {
		message, err := lines.ReadBytes(0)
		b.mu.Lock()
		if err != nil {
			b.ended = fmt.Errorf("chromium has ended: %w", err)
			for _, waiting := range b.waiting {
				close(waiting)
			}
			b.waiting = nil
			b.mu.Unlock()
			return
		}
		var a answer
		if json.Unmarshal(message[:len(message)-1], &a) == nil && b.waiting[a.ID] != nil {
			b.waiting[a.ID] <- a
			delete(b.waiting, a.ID)
		}
		b.mu.Unlock()
	}
}

// call calls a method of the protocol.
func (b *Browser) call(session, method string, params, into any) error {
	mine := make(chan answer, 1)
	b.mu.Lock()
	if b.ended != nil {
		b.mu.Unlock()
		return b.ended
	}
	b.last++
	id := b.last
	b.waiting[id] = mine
	message, err := json.Marshal(struct {
		ID        int    `json:"id"`
		SessionID string `json:"sessionId,omitempty"`
		Method    string `json:"method"`
		Params    any    `json:"params"`
	}{id, session, method, params})
	if err == nil {
		_, err = b.write.Write(append(message, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case a, ok := <-mine:
		switch {
		case !ok:
			return fmt.Errorf("%s: chromium has ended", method)
		case a.Error != nil:
			return fmt.Errorf("%s: %s", method, a.Error.Message)
		case into != nil:
			return json.Unmarshal(a.Result, into)
		}
		return nil
	case <-time.After(limit):
		return fmt.Errorf("%s: no answer", method)
	}
}

// object is a JSON object.
type object map[string]any

// Tab is a page that is open.
type Tab struct {
	t       testing.TB
	browser *Browser
	session string
}

// Open opens an address in a window of that size, in the colours that a person prefers: "light"
// or "dark".
func (b *Browser) Open(t testing.TB, address string, width, height int, scheme string) *Tab {
	t.Helper()
	var made struct{ TargetID string }
	var attached struct{ SessionID string }
	tab := &Tab{t: t, browser: b}
	tab.must(b.call("", "Target.createTarget", object{"url": "about:blank"}, &made))
	tab.must(b.call("", "Target.attachToTarget", object{"targetId": made.TargetID, "flatten": true}, &attached))
	tab.session = attached.SessionID
	tab.call("Emulation.setDeviceMetricsOverride", object{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	tab.call("Emulation.setEmulatedMedia", object{"features": []object{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	// One tab of several is not in front, and would not get the focus.
	tab.call("Emulation.setFocusEmulationEnabled", object{"enabled": true}, nil)
	tab.call("Page.navigate", object{"url": address}, nil)
	return tab
}

func (tab *Tab) must(err error) {
	tab.t.Helper()
	if err != nil {
		tab.t.Fatal(err)
	}
}

func (tab *Tab) call(method string, params, into any) {
	tab.t.Helper()
	tab.must(tab.browser.call(tab.session, method, params, into))
}

// Eval evaluates an expression in the page, into what is not nil.
func (tab *Tab) Eval(expression string, into any) {
	tab.t.Helper()
	tab.must(tab.eval(expression, into))
}

func (tab *Tab) eval(expression string, into any) error {
	var got struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	err := tab.browser.call(tab.session, "Runtime.evaluate", object{"expression": expression, "returnByValue": true, "awaitPromise": true}, &got)
	switch {
	case err != nil:
		return err
	case got.ExceptionDetails != nil:
		return fmt.Errorf("%s: %s %s", expression, got.ExceptionDetails.Text, got.ExceptionDetails.Exception.Description)
	case into == nil || got.Result.Value == nil:
		return nil
	}
	return json.Unmarshal(got.Result.Value, into)
}

// Wait waits until an expression is true in the page.
func (tab *Tab) Wait(expression string) {
	tab.t.Helper()
	var err error
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(poll) {
		ok := false
		// While a page loads, there is nothing to evaluate in.
		if err = tab.eval(expression, &ok); ok {
			return
		}
	}
	var text string
	_ = tab.eval("document.body.innerText.slice(0, 2000)", &text)
	tab.t.Fatalf("not within %s: %s (%v); the page says:\n%s", limit, expression, err, text)
}

// keys are those that have no character, with their codes in Windows, which Chromium goes by.
var keys = map[string]int{"Tab": 9, "Enter": 13, "Escape": 27, "ArrowUp": 38, "ArrowDown": 40}

// Press presses keys, one after the other.
func (tab *Tab) Press(names ...string) {
	tab.t.Helper()
	for _, name := range names {
		code, ok := keys[name]
		if !ok {
			tab.t.Fatalf("there is no key %q", name)
		}
		down := object{"type": "rawKeyDown", "key": name, "code": name, "windowsVirtualKeyCode": code}
		if name == "Enter" {
			down["type"], down["text"] = "keyDown", "\r"
		}
		tab.call("Input.dispatchKeyEvent", down, nil)
		tab.call("Input.dispatchKeyEvent", object{"type": "keyUp", "key": name, "code": name, "windowsVirtualKeyCode": code}, nil)
	}
}

// Type types text into what has the focus.
func (tab *Tab) Type(text string) {
	tab.t.Helper()
	tab.call("Input.insertText", object{"text": text}, nil)
}

// Screenshot is the visible part of the page as a PNG.
func (tab *Tab) Screenshot() []byte {
	tab.t.Helper()
	var shot struct{ Data string }
	tab.call("Page.captureScreenshot", object{"format": "png"}, &shot)
	image, err := base64.StdEncoding.DecodeString(shot.Data)
	tab.must(err)
	return image
}

// Node is an element as assistive technology sees it.
type Node struct{ Role, Name string }

// Accessible is what assistive technology sees of the page.
func (tab *Tab) Accessible() []Node {
	tab.t.Helper()
	type value struct{ Value any }
	var tree struct {
		Nodes []struct {
			Ignored    bool
			Role, Name value
		}
	}
	tab.call("Accessibility.getFullAXTree", object{}, &tree)
	var all []Node
	for _, node := range tree.Nodes {
		if !node.Ignored {
			role, _ := node.Role.Value.(string)
			name, _ := node.Name.Value.(string)
			all = append(all, Node{role, name})
		}
	}
	return all
}
