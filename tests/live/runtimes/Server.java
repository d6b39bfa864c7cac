// SPDX-License-Identifier: BSD-2-Clause
// Server.java PORT P12 - HTTP/1.1 over JSSE, a thread for each connection: says back the path that was asked for.
import java.io.*;
import java.net.*;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import javax.net.ssl.*;

public class Server {
	static void one(Socket s) {
		try (s; InputStream in = new BufferedInputStream(s.getInputStream()); OutputStream out = s.getOutputStream()) {
			s.setTcpNoDelay(true);
			StringBuilder head = new StringBuilder();
			for (int c; (c = in.read()) >= 0;) {
				head.append((char) c);
				if (!head.toString().endsWith("\r\n\r\n"))
					continue;
				String body = "you asked for " + head.toString().split(" ")[1] + "\n";
				out.write(("HTTP/1.1 200 OK\r\nContent-Length: " + body.length() + "\r\n\r\n" + body)
						.getBytes(StandardCharsets.US_ASCII));
				out.flush();
				head.setLength(0);
			}
		} catch (IOException e) {
			// the client is gone
		}
	}

	public static void main(String[] a) throws Exception {
		KeyStore ks = KeyStore.getInstance("PKCS12");
		try (InputStream in = new FileInputStream(a[1])) {
			ks.load(in, "secret".toCharArray());
		}
		KeyManagerFactory kmf = KeyManagerFactory.getInstance("SunX509");
		kmf.init(ks, "secret".toCharArray());
		SSLContext ctx = SSLContext.getInstance("TLS");
		ctx.init(kmf.getKeyManagers(), null, null);
		ServerSocket l = ctx.getServerSocketFactory().createServerSocket(Integer.parseInt(a[0]), 256,
				InetAddress.getByName("127.0.0.1"));
		System.out.println("ready");
		for (;;) {
			Socket s = l.accept();
			new Thread(() -> one(s)).start();
		}
	}
}
