package config

import "path/filepath"

// audit checks that the audit log has its file to itself.
func (k *checker) audit() {
	a := k.c.Audit
	if a == nil || a.Path == "" {
		return
	}
	path, access := filepath.Clean(a.Path), filepath.Clean(k.c.Telemetry.AccessLog)
	if path == access || path+".head" == access {
		k.fail("audit.path", "the audit log and the access log cannot share a file", "give each a file of its own")
	}
}
