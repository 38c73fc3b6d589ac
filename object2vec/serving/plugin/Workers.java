package object2vec;

import com.amazonaws.ml.mms.wlm.ModelManager;
import com.amazonaws.ml.mms.wlm.WorkerState;
import com.amazonaws.ml.mms.wlm.WorkerThread;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;

/** What the Python workers are doing, as the server and the kernel tell. */
final class Workers {

    /** The name that the model is loaded by. */
    static final String MODEL = "model";

    private Workers() {}

    /** Whether one can answer, now or when it is done with what it has. */
    static boolean canAnswer() {
        for (WorkerThread worker : ModelManager.getInstance().getWorkers(MODEL)) {
            if (worker.getState() == WorkerState.WORKER_MODEL_LOADED && runs(worker.getPid())) {
                return true;
            }
        }
        return false;
    }

    /**
     * End the processes that the server has given up, because they answered too late.
     *
     * <p>The server starts another one in their place and leaves them as they are: at work for
     * nothing, or stopped for ever.
     */
    static void endAbandoned() throws IOException {
        ModelManager manager = ModelManager.getInstance();
        for (WorkerThread worker : manager.getWorkers(MODEL)) {
            int pid = worker.getPid();
            if (worker.getState() != WorkerState.WORKER_STOPPED || pid <= 0) {
                continue;
            }
            int parent = manager.getModels().get(MODEL).getServerThread().getPid();
            String[] fields = status(pid);
            // The number may be another process's by now.
            if (fields != null && !fields[0].equals("Z") && fields[1].equals("" + parent)) {
                new ProcessBuilder("/bin/sh", "-c", "kill -KILL " + pid).start();
            }
        }
    }

    private static boolean runs(int pid) {
        String[] fields = status(pid);
        return fields != null && "TtZX".indexOf(fields[0]) < 0;
    }

    /** State, parent and more of a process, as proc(5) has them after its name; null without one. */
    private static String[] status(int pid) {
        try {
            byte[] content = Files.readAllBytes(Paths.get("/proc/" + pid + "/stat"));
            String text = new String(content, StandardCharsets.ISO_8859_1);
            return text.substring(text.lastIndexOf(')') + 2).split(" ");
        } catch (IOException error) {
            return null;
        }
    }
}
