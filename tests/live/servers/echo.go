// SPDX-License-Identifier: BSD-2-Clause

// A TLS echo server: echo CERT KEY PORT. SSLKEYLOGFILE names a key log to write, as for other programs.
package main

import (
	"crypto/tls"
	"io"
	"os"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	cert, err := tls.LoadX509KeyPair(os.Args[1], os.Args[2])
	must(err)
	config := &tls.Config{Certificates: []tls.Certificate{cert}}
	if name := os.Getenv("SSLKEYLOGFILE"); name != "" {
		config.KeyLogWriter, err = os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0600)
		must(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:"+os.Args[3], config)
	must(err)
	for {
		c, err := l.Accept()
		must(err)
		go func() {
			defer c.Close()
			io.Copy(c, c)
		}()
	}
}
