package main

import (
	"fmt"
	"io"

	"github.com/go-logr/logr"
	"go.uber.org/zap/zapcore"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

// logLevels are what --log-level may say, and logFormats what --log-format may.
var (
	logLevels  = map[string]zapcore.Level{"debug": zapcore.DebugLevel, "info": zapcore.InfoLevel, "error": zapcore.ErrorLevel}
	logFormats = map[string]func(...zap.EncoderConfigOption) func(*zap.Options){"json": zap.JSONEncoder, "text": zap.ConsoleEncoder}
)

func checkLog(level, format string) error {
	if _, ok := logLevels[level]; !ok {
		return fmt.Errorf("--log-level %s: must be debug, info or error", level)
	}
	if _, ok := logFormats[format]; !ok {
		return fmt.Errorf("--log-format %s: must be json or text", format)
	}
	return nil
}

// newLogger returns a logger whose times are in RFC 3339, as those in Kubernetes' own logs are.
func newLogger(level, format string, to io.Writer) logr.Logger {
	encoder := func(c *zapcore.EncoderConfig) { c.EncodeTime = zapcore.RFC3339TimeEncoder }
	return zap.New(zap.WriteTo(to), zap.Level(logLevels[level]), logFormats[format](encoder))
}
