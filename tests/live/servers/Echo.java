// SPDX-License-Identifier: BSD-2-Clause

import java.io.FileInputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.security.KeyStore;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;

/** A TLS echo server: java Echo.java KEYSTORE.p12 PASSWORD PORT. */
class Echo {
	static void serve(Socket s) {
		try (s) {
			byte[] b = new byte[16384];
			for (int n; (n = s.getInputStream().read(b)) > 0;)
				s.getOutputStream().write(b, 0, n);
		} catch (java.io.IOException e) {
			/* the peer is gone */
		}
	}

	public static void main(String[] a) throws Exception {
		KeyStore store = KeyStore.getInstance("PKCS12");
		store.load(new FileInputStream(a[0]), a[1].toCharArray());
		KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
		keys.init(store, a[1].toCharArray());
		SSLContext c = SSLContext.getInstance("TLS");
		c.init(keys.getKeyManagers(), null, null);
		var l = c.getServerSocketFactory().createServerSocket(Integer.parseInt(a[2]), 64, InetAddress.getByName("127.0.0.1"));
		for (;;) {
			Socket s = l.accept();
			new Thread(() -> serve(s)).start();
		}
	}
}
