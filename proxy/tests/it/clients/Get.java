import java.net.InetSocketAddress;
import java.net.ProxySelector;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** URL PROXY-HOST PROXY-PORT VERSION. Java reads no proxy variables. */
class Get {
    public static void main(String[] args) throws Exception {
        var proxy = ProxySelector.of(new InetSocketAddress(args[1], Integer.parseInt(args[2])));
        var client = HttpClient.newBuilder().proxy(proxy).version(HttpClient.Version.valueOf(args[3])).build();
        var answer = client.send(HttpRequest.newBuilder(URI.create(args[0])).build(), HttpResponse.BodyHandlers.ofString());
        System.out.println(answer.statusCode() + " " + answer.version() + " " + answer.body());
        System.exit(answer.statusCode() == 200 ? 0 : 1);
    }
}
