package object2vec;

import java.io.IOException;
import software.amazon.ai.mms.servingsdk.Context;
import software.amazon.ai.mms.servingsdk.Model;
import software.amazon.ai.mms.servingsdk.Worker;
import software.amazon.ai.mms.servingsdk.annotations.Endpoint;
import software.amazon.ai.mms.servingsdk.annotations.helpers.EndpointTypes;
import software.amazon.ai.mms.servingsdk.http.Request;
import software.amazon.ai.mms.servingsdk.http.Response;

/** Answers 200 while a worker that has loaded the model is alive, and 503 while none is. */
@Endpoint(
        urlPattern = "ping",
        endpointType = EndpointTypes.INFERENCE,
        description = "200 when a worker can answer, 503 when none can.")
public class Ping extends ReadOnlyEndpoint {

    @Override
    public void doGet(Request request, Response response, Context context) throws IOException {
        boolean healthy = false;
        for (Model model : context.getModels().values()) {
            for (Worker worker : model.getModelWorkers()) {
                healthy |= worker.isRunning();
            }
        }
        String status = healthy ? "Healthy" : "No worker can answer";
        answer(response, healthy ? 200 : 503, "{\"status\": \"" + status + "\"}\n");
    }
}
