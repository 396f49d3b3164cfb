import sys, time
sys.path[:0] = ["tests", "tests/docker"]
from engine import *
t=time.time()
with Engine("/tmp/pfdk/e", "host") as e:
    for tag,f in (("pinfold","docker/Dockerfile"),("pinfold-demo","docker/demo/Dockerfile")):
        r=e.docker("build","--network=host","--build-arg=BASE=pinfold-test-base","-t",tag,"-f",f,".",timeout=1500,check=False)
        print(r.stdout[-3000:], r.returncode, time.time()-t, flush=True)
    print(e.docker("images").stdout)
