package object2vec;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import software.amazon.ai.mms.servingsdk.Context;
import software.amazon.ai.mms.servingsdk.ModelServerEndpoint;
import software.amazon.ai.mms.servingsdk.http.Request;
import software.amazon.ai.mms.servingsdk.http.Response;

/** An endpoint that answers GET with JSON, and everything else with 405. */
abstract class ReadOnlyEndpoint extends ModelServerEndpoint {

    static void answer(Response response, int status, String json) throws IOException {
        response.setStatus(status);
        response.setContentType("application/json");
        response.getOutputStream().write(json.getBytes(StandardCharsets.UTF_8));
    }

    @Override
    public void doPost(Request request, Response response, Context context) throws IOException {
        refuse(response);
    }

    @Override
    public void doPut(Request request, Response response, Context context) throws IOException {
        refuse(response);
    }

    @Override
    public void doDelete(Request request, Response response, Context context) throws IOException {
        refuse(response);
    }

    private static void refuse(Response response) throws IOException {
        response.setHeader("Allow", "GET");
        answer(response, 405, "{\"error\": \"Only GET is answered here.\"}\n");
    }
}
