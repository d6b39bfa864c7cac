// SPDX-License-Identifier: BSD-2-Clause

// go serve PORT CERT KEY, go get URL COUNT - HTTP/1.1 over crypto/tls: says back the path that was asked for.
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
)

func serve(port, cert, key string) {
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		panic(err)
	}
	s := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body := "you asked for " + r.URL.Path + "\n"
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			io.WriteString(w, body)
		}),
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	fmt.Println("ready")
	panic(s.ServeTLS(l, cert, key))
}

func get(url string, count int) {
	c := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		TLSNextProto:    map[string]func(string, *tls.Conn) http.RoundTripper{},
	}}
	for i := 0; i < count; i++ {
		r, err := c.Get(fmt.Sprintf("%s/%d", url, i))
		if err != nil {
			panic(err)
		}
		io.Copy(io.Discard, r.Body)
		r.Body.Close()
	}
}

func main() {
	if os.Args[1] == "serve" {
		serve(os.Args[2], os.Args[3], os.Args[4])
	}
	n, _ := strconv.Atoi(os.Args[3])
	get(os.Args[2], n)
}
