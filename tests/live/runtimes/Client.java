// SPDX-License-Identifier: BSD-2-Clause
// Client.java PORT COUNT - COUNT requests on one kept connection over JSSE, which stays open for a moment; any certificate will do.
import java.io.*;
import java.nio.charset.StandardCharsets;
import java.security.cert.X509Certificate;
import javax.net.ssl.*;

public class Client {
	public static void main(String[] a) throws Exception {
		X509TrustManager any = new X509TrustManager() {
			public void checkClientTrusted(X509Certificate[] c, String t) {}
			public void checkServerTrusted(X509Certificate[] c, String t) {}
			public X509Certificate[] getAcceptedIssuers() { return new X509Certificate[0]; }
		};
		SSLContext ctx = SSLContext.getInstance("TLS");
		ctx.init(null, new TrustManager[] {any}, null);
		try (SSLSocket s = (SSLSocket) ctx.getSocketFactory().createSocket("127.0.0.1", Integer.parseInt(a[0]))) {
			InputStream in = new BufferedInputStream(s.getInputStream());
			for (int i = 0; i < Integer.parseInt(a[1]); i++) {
				s.getOutputStream().write(("GET /java/" + i + " HTTP/1.1\r\nHost: localhost\r\n\r\n")
						.getBytes(StandardCharsets.US_ASCII));
				StringBuilder head = new StringBuilder();
				while (!head.toString().endsWith("\r\n\r\n"))
					head.append((char) in.read());
				String h = head.toString().toLowerCase();
				int at = h.indexOf("content-length:") + 15;
				in.readNBytes(Integer.parseInt(h.substring(at, h.indexOf("\r", at)).trim()));
			}
			Thread.sleep(2000); // its keys are in its memory only, and only until it ends
		}
	}
}
